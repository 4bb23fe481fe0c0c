"""`svcplane lab logs`: what an agent, a pod or the lab itself has said."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from dataplane.errors import InputError
from lab.cluster.state import StateDirectory
from lab.kubelet.node import log_file
from svcplane.lab.common import add_name, add_namespace

_SUPERVISOR = "supervisor"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_namespace(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on as more comes")
    parser.add_argument(
        "source", nargs="?", default=_SUPERVISOR, metavar="WHOSE", help="agent/NODE | pod/NAME | supervisor (default)"
    )


def run(args: argparse.Namespace) -> int:
    state = StateDirectory(args.name)
    if not state.exists:
        raise InputError(f"nothing is there of a lab called {args.name!r}")
    path = _path(state, args.source, args.namespace)
    if args.follow:
        os.execvp("tail", ["tail", "-n", "+1", "-F", str(path)])
    sys.stdout.write(path.read_text(errors="replace"))
    return 0


def _path(state: StateDirectory, source: str, namespace: str) -> Path:
    kind, _, name = source.partition("/")
    if source == _SUPERVISOR:
        path = state.supervisor_log
    elif kind == "agent" and name:
        path = state.agents / f"{Path(name).name}.log"
    elif kind == "pod" and name:
        path = log_file(state.pods, Path(namespace).name, Path(name).name)
    else:
        raise InputError(f"{source!r}: expected agent/NODE, pod/NAME or {_SUPERVISOR}")
    if not path.exists():
        raise InputError(f"{source}: has said nothing, or does not exist")
    return path
