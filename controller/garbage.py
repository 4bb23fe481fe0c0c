"""When Python's garbage collector rests.

It walks all objects whenever a quarter more have come. While a whole cluster is compiled, hundreds of thousands come,
all to stay, and walking them takes a fifth of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection(rests: bool = True) -> Iterator[None]:
    """It does not run within, if `rests`, and then runs again if it did before."""
    was_enabled = gc.isenabled()
    if rests:
        gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def keep() -> None:
    """What there is now will mostly stay, and is not looked at again.

    It is not searched for garbage before: after a first synchronisation there is next to none, and the search would
    keep the first changes waiting, with 10,000 Services for a quarter of a second.
    """
    gc.freeze()
