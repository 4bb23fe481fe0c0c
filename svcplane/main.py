"""`svcplane COMMAND ...`: a table of commands and a loop."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from controller.errors import ApiServerError
from dataplane.errors import InputError
from dataplane.version import VERSION


class Command(NamedTuple):
    name: str
    module: str  #: holds add_arguments(parser) and run(args) -> exit code; imported only when asked for
    help: str


COMMANDS = (
    Command("explain", "svcplane.explain", "say where a packet goes and why (no root, no cluster)"),
    Command("lab", "svcplane.lab", "run a cluster in network namespaces of this machine"),
    Command("agent", "svcplane.agent", "program this node's Services, in kube-proxy's place"),
)


def _parser() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {command.name:<10} {command.help}" for command in COMMANDS)
    parser = argparse.ArgumentParser(
        prog="svcplane",
        description="A Kubernetes Service dataplane you can read.",
        epilog=f"commands:\n{lines}\n\n'svcplane COMMAND --help' tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"svcplane {VERSION}")
    parser.add_argument("command", metavar="COMMAND", choices=[command.name for command in COMMANDS])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; 2 means that what the user gave is wrong."""
    chosen = _parser().parse_args(argv)
    command = next(c for c in COMMANDS if c.name == chosen.command)
    module = importlib.import_module(command.module)
    parser = argparse.ArgumentParser(prog=f"svcplane {command.name}", description=command.help)
    module.add_arguments(parser)
    try:
        code: int = module.run(parser.parse_args(chosen.arguments))
    except (InputError, ApiServerError) as error:
        print(f"svcplane {command.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output left (`| head`): not worth a word, and Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


if __name__ == "__main__":
    sys.exit(main())
