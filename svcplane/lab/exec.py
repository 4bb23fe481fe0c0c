"""`svcplane lab exec`: run a command on the network of a machine of the lab.

Only the network is the machine's: programs and files are those of the host. `svcplane flows` and
`svcplane top` find the node's agent.
"""

from __future__ import annotations

import argparse
import os

from dataplane.errors import InputError
from lab.cluster.agent import agent_environment
from lab.cluster.machines import EXPECTED, find_machine
from lab.cluster.state import StateDirectory
from lab.cluster.up import require_root
from svcplane.lab.common import add_name, add_namespace, api


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_namespace(parser)
    parser.add_argument("machine", metavar="WHERE", help=EXPECTED)
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="a program of this host")


def run(args: argparse.Namespace) -> int:
    require_root()
    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    if not argv:
        raise InputError("what to run? expected WHERE -- COMMAND [ARGUMENT ...]")
    state = StateDirectory(args.name)
    options = state.running().options
    with api(args.name) as client:
        machine = find_machine(client, options, args.machine, args.namespace)
    machine.enter()
    try:
        os.execvpe(argv[0], argv, {**os.environ, **agent_environment(state.agents)})
    except OSError as error:
        raise InputError(f"{argv[0]}: {error.strerror}") from None
