"""The error that ends a command with one line."""

from __future__ import annotations


class InputError(Exception):
    """Something that a person gave is wrong.

    The message is one clear line: what, where, and what was expected. Commands print it and exit with code 2.
    """
