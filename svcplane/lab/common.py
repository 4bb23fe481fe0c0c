"""What the commands of `svcplane lab` share: which lab, which namespace, and how to talk to it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from dataplane.errors import InputError
from lab.cluster.client import ApiClient, RefusedError
from lab.cluster.options import LabOptions
from lab.cluster.state import StateDirectory

DEFAULT_NAME = LabOptions().name


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default=DEFAULT_NAME, help=f"of the lab (default: {DEFAULT_NAME})")


def add_namespace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", default="default", help="(default: default)")


@contextmanager
def api(name: str) -> Iterator[ApiClient]:
    """The API server of a lab that runs. What it refuses ends the command with one line."""
    client = ApiClient(StateDirectory(name).running().api)
    try:
        yield client
    except RefusedError as error:
        raise InputError(str(error)) from None


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Says on standard error what takes its time: with a spinner on a terminal, as a line of its own elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        print(text, file=sys.stderr, flush=True)
        yield


def counted(number: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def plain_table() -> Table:
    """A table like kubectl's: no lines, headers in bold."""
    return Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")


def print_table(table: Table) -> None:
    # In a pipe there is no width to fit into, and a cut-off name would be worse than a long line.
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
