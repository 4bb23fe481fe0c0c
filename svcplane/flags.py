"""Values as Kubernetes components write them on a command line: ``true``, ``1m30s``, ``a,b``, ``[::]:10256``."""

from __future__ import annotations

import argparse
import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")


def duration(text: str) -> float:
    """Seconds, from Go's notation: ``300ms``, ``1.5s``, ``2h45m``; or ``0``."""
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration (expected like 500ms, 30s or 1m30s)")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def boolean(text: str) -> bool:
    """``true`` or ``false``, in any spelling that Go's flag package takes."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def add_boolean(parser: argparse._ActionsContainer, flag: str, description: str, default: bool = False) -> None:
    """A flag that may stand alone (true) or be given a value: ``--flag``, ``--flag=false``."""
    parser.add_argument(
        flag, type=boolean, nargs="?", const=True, default=default, metavar="true|false", help=description
    )


def words(text: str) -> tuple[str, ...]:
    """Words separated by commas; none in an empty text."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def listen_address(text: str) -> tuple[str, int] | None:
    """(address, port) from ``address:port``; None for an empty text, which means: do not listen."""
    if not text:
        return None
    address, colon, port = text.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no address to listen on (expected like 0.0.0.0:10256)")
    return address or "0.0.0.0", int(port)
