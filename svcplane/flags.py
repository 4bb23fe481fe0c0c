"""Values as Kubernetes components write them on a command line: ``true``, ``a,b``."""

from __future__ import annotations

import argparse
import math


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


def natural(text: str) -> int:
    """0, 1, 2, ..."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, found {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A time that one can wait for: more than nothing, and at most a day."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= 86_400:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0 and at most 86400, found {text!r}")
    return found


def words(text: str) -> tuple[str, ...]:
    """Words separated by commas; none in an empty text."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
