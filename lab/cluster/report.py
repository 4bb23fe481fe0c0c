"""What a lab's supervisor tells whoever started it, one line of JSON each."""

from __future__ import annotations

import msgspec


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    step: str = ""  #: what it does now
    ready: bool = False  #: the lab is up; nothing follows
    error: str = ""  #: the lab could not be started; nothing follows
