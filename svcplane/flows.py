"""`svcplane flows`: the connections through Services that the node's agent is translating now."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from dataplane.userspace.answering import ask
from dataplane.userspace.memory import default_folder

_COLUMNS = ("service", "protocol", "client", "destination", "backend", "seenAs", "phase", "packetsIn", "packetsOut")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The connections of this network namespace's agent, which runs with --proxy-mode=userspace. Each line is one "
        "flow: CLIENT wrote to DESTINATION, BACKEND answers, and sees SEEN-AS."
    )
    parser.add_argument(
        "--service", default="", metavar="TEXT", help="only flows of Services whose name has this in it"
    )
    parser.add_argument("--client", default="", metavar="TEXT", help="only those of clients whose address begins so")
    parser.add_argument("--backend", default="", metavar="TEXT", help="only those to backends whose address begins so")
    parser.add_argument("--json", action="store_true", help="one JSON object for each flow")


def run(args: argparse.Namespace) -> int:
    found = _matching(args)
    if args.json:
        for flow in found:
            print(json.dumps(flow))
        return 0
    rows = [tuple(str(flow[name]) for name in _COLUMNS) for flow in found]
    titles = (
        "SERVICE",
        "PROTOCOL",
        "CLIENT",
        "DESTINATION",
        "BACKEND",
        "SEEN-AS",
        "PHASE",
        "PACKETS-IN",
        "PACKETS-OUT",
    )
    print_table((titles, *sorted(rows)))
    return 0


def _matching(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for flow in ask(default_folder(), "flows"):
        if args.service in flow["service"] and all(
            flow[name].removeprefix("[").startswith(wanted)
            for name, wanted in (("client", args.client), ("backend", args.backend))
        ):
            yield flow


def print_table(rows: tuple[tuple[str, ...], ...]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
