"""A table of commands, each in a file of its own that is imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import NamedTuple, NoReturn


class Command(NamedTuple):
    name: str
    module: str  #: holds add_arguments(parser) and run(args) -> exit code
    help: str


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where more is said; then the process ends with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} ('{self.prog} --help' tells more)\n")


def add_commands(parser: argparse.ArgumentParser, commands: Sequence[Command]) -> None:
    """Arguments of a command that consists of others."""
    width = max(len(command.name) for command in commands) + 2
    lines = "\n".join(f"  {command.name:<{width}} {command.help}" for command in commands)
    parser.epilog = f"commands:\n{lines}\n\n'{parser.prog} COMMAND --help' tells more of each."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("command", metavar="COMMAND", choices=[command.name for command in commands])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run_command(prog: str, commands: Sequence[Command], chosen: argparse.Namespace) -> int:
    """Run the one that was chosen. Returns its exit code."""
    command = next(c for c in commands if c.name == chosen.command)
    module = importlib.import_module(command.module)
    parser = Parser(prog=f"{prog} {command.name}", description=command.help)
    module.add_arguments(parser)
    code: int = module.run(parser.parse_args(chosen.arguments))
    return code
