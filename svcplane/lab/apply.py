"""`svcplane lab apply`: make objects as manifests say, all of them or none."""

from __future__ import annotations

import argparse

from lab.cluster.apply import apply
from lab.manifests import load
from svcplane.lab.common import add_name, api


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    parser.add_argument(
        "-f", "--filename", action="append", required=True, metavar="FILE", help="manifests: a file, a folder or -"
    )


def run(args: argparse.Namespace) -> int:
    manifests = load(args.filename)
    with api(args.name) as client:
        for applied in apply(client, manifests):
            print(applied)
    return 0
