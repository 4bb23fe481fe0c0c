"""`svcplane lab kubeconfig`: the path of the file that kubectl needs."""

from __future__ import annotations

import argparse

from lab.cluster.state import StateDirectory
from svcplane.lab.common import add_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)


def run(args: argparse.Namespace) -> int:
    state = StateDirectory(args.name)
    state.running()
    print(state.kubeconfig)
    return 0
