"""`svcplane COMMAND ...`: a table of commands and a loop."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from controller.api.errors import ApiServerError
from dataplane.errors import InputError
from dataplane.version import VERSION
from svcplane.commands import Command, Parser, add_commands, run_command

COMMANDS = (
    Command("explain", "svcplane.explain", "say where a packet goes and why (no root, no cluster)"),
    Command("replay", "svcplane.replay", "send captured packets through the C engine (no root, no cluster)"),
    Command("flows", "svcplane.flows", "the connections that this node's agent is translating (userspace mode)"),
    Command("top", "svcplane.top", "how much goes through each Service and backend (userspace mode)"),
    Command("lab", "svcplane.lab", "run a cluster in network namespaces of this machine"),
    Command("agent", "svcplane.agent", "program this node's Services, in kube-proxy's place"),
)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="svcplane", description="A Kubernetes Service dataplane you can read.")
    parser.add_argument("--version", action="version", version=f"svcplane {VERSION}")
    add_commands(parser, COMMANDS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; 2 means that what the user gave is wrong."""
    chosen = _parser().parse_args(argv)
    try:
        code = run_command("svcplane", COMMANDS, chosen)
        sys.stdout.flush()  # what can't be written shows here, and not when Python ends
        return code
    except (InputError, ApiServerError) as error:
        print(f"svcplane {chosen.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output left (`| head`): not worth a word, and Python must not complain at exit either.
        _write_nothing_more()
        return 141
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"svcplane {chosen.command}: cannot write: {error.strerror}", file=sys.stderr)
        _write_nothing_more()
        return 2


def _write_nothing_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
