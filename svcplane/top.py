"""`svcplane top`: how much goes through each Service and each of its backends, every second."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any, TypeAlias

from dataplane.userspace.answering import ask
from dataplane.userspace.memory import default_folder
from svcplane.flags import natural, seconds
from svcplane.flows import print_table

Counted: TypeAlias = dict[tuple[str, str], dict[str, Any]]

_SUMS = ("connections", "packetsIn", "packetsOut", "bytesIn", "bytesOut")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Rates of each Service's backends at this network namespace's agent, which runs with --proxy-mode=userspace: "
        "connections begun, packets and bytes to the backend (IN) and from it (OUT), each per second."
    )
    parser.add_argument("--service", default="", metavar="TEXT", help="only Services whose name has this in it")
    parser.add_argument(
        "--interval", type=seconds, default=1.0, metavar="SECONDS", help="between two looks (default: 1)"
    )
    parser.add_argument("--count", type=natural, default=0, metavar="N", help="end after so many (default: never)")
    parser.add_argument("--json", action="store_true", help="one JSON object for each backend and look")


def run(args: argparse.Namespace) -> int:
    before, then, shown = _counted(args.service), time.monotonic(), 0
    while not args.count or shown < args.count:
        time.sleep(max(args.interval, 0.1))
        now, at = _counted(args.service), time.monotonic()
        rates = [_rate(before.get(key), line, at - then) for key, line in now.items()]
        if args.json:
            for rate in rates:
                print(json.dumps(rate), flush=True)
        else:
            _show(rates)
        before, then, shown = now, at, shown + 1
    return 0


def _counted(service: str) -> Counted:
    lines = ask(default_folder(), "traffic")
    return {(line["service"], line["backend"]): line for line in lines if service in line["service"]}


def _rate(before: dict[str, Any] | None, now: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Per second. What began to be counted anew meanwhile began at nothing."""
    rate = {name: now[name] for name in ("service", "backend", "active")}
    for name in _SUMS:
        grown = now[name] - (before[name] if before else 0)
        rate[name] = round((grown if grown >= 0 else now[name]) / seconds, 1)
    return rate


def _show(rates: list[dict[str, Any]]) -> None:
    if sys.stdout.isatty():
        print("\x1b[H\x1b[2J", end="")
    titles = ("SERVICE", "BACKEND", "ACTIVE", "NEW/s", "PACKETS-IN/s", "PACKETS-OUT/s", "BYTES-IN/s", "BYTES-OUT/s")
    busiest = sorted(
        rates, key=lambda rate: (-rate["packetsIn"] - rate["packetsOut"], rate["service"], rate["backend"])
    )
    rows = [tuple(str(rate[name]) for name in ("service", "backend", "active", *_SUMS)) for rate in busiest]
    print_table((titles, *rows))
    print(flush=True)
