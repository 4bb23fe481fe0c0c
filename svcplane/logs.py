"""How a long-running command logs: lines for people, or one JSON object a line for programs."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import msgspec

_EVERYTHING = 4  # as for kube-proxy: from this verbosity on
_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up_logging(form: str, verbosity: int, stream: TextIO | None = None) -> None:
    """`form` is text or json. May be called again when the configuration changes."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        JsonFormatter() if form == "json" else logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    level = logging.DEBUG if verbosity >= _EVERYTHING else logging.INFO
    logging.basicConfig(level=level, handlers=[handler], force=True)


class JsonFormatter(logging.Formatter):
    """`ts` (seconds since 1970), `level`, `logger`, `msg`, and whatever the call gave as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _KNOWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()
