"""`svcplane lab down`: end a cluster and remove everything of it."""

from __future__ import annotations

import argparse

from dataplane.errors import InputError
from lab.cluster.down import down
from lab.cluster.state import StateDirectory, all_labs
from lab.cluster.up import require_root
from svcplane.lab.common import add_name, progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    parser.add_argument("--all", action="store_true", help="all labs of this machine, also those that crashed")


def run(args: argparse.Namespace) -> int:
    require_root()
    labs = all_labs() if args.all else [StateDirectory(args.name)]
    if not args.all and not labs[0].exists:
        raise InputError(f"nothing is there of a lab called {args.name!r}")
    for state in labs:
        with progress(f"ending lab {state.lab!r}"):
            down(state.lab)
        print(f"Lab {state.lab!r} is gone.")
    if not labs:
        print("There is no lab.")
    return 0
