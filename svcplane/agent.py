"""`svcplane agent`: program this node's Services, in kube-proxy's place. The flags are named as kube-proxy's."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import signal
import sys

from controller.agent import Agent, AgentOptions
from controller.api.access import Access
from controller.api.client import Client
from controller.api.connect import connect
from controller.runner import Pace
from dataplane.errors import InputError
from dataplane.interface import Dataplane
from dataplane.nftables import NftablesDataplane
from svcplane.flags import duration, listen_address
from svcplane.node_flags import add_node_flags, node_options

_PROXY_MODES = ("nftables",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    cluster = parser.add_argument_group("the cluster")
    cluster.add_argument("--kubeconfig", default="", help="API server and credentials (default: those of a pod)")
    cluster.add_argument("--master", default="", help="URL of the API server, in place of the kubeconfig's")
    cluster.add_argument("--hostname-override", default="", help="this node's name (default: the host's name)")

    add_node_flags(parser)

    rules = parser.add_argument_group("rules")
    rules.add_argument("--proxy-mode", default="nftables", metavar="MODE", help=" | ".join(_PROXY_MODES))
    rules.add_argument("--masquerade-bit", type=int, default=14, metavar="BIT", help="of the packet mark (default: 14)")
    rules.add_argument("--bind-address", default="0.0.0.0", metavar="IP", help="overrides the primary node address")

    pace = parser.add_argument_group("pace")
    pace.add_argument(
        "--min-sync-period", "--iptables-min-sync-period", type=duration, default=0.05, metavar="DURATION",
        help="the least time between two syncs (default: 50ms)",
    )  # fmt: skip
    pace.add_argument(
        "--sync-period", "--iptables-sync-period", type=duration, default=30.0, metavar="DURATION",
        help="the most time between two tries of a sync that fails (default: 30s)",
    )  # fmt: skip

    service = parser.add_argument_group("service")
    service.add_argument(
        "--healthz-bind-address", type=listen_address, default=("0.0.0.0", 10256), metavar="IP:PORT",
        help="where /healthz and /livez answer; empty: nowhere (default: 0.0.0.0:10256)",
    )  # fmt: skip
    service.add_argument("-v", "--verbosity", type=int, default=2, metavar="LEVEL", help="4 and more: say everything")
    service.add_argument("--cleanup", action="store_true", help="remove all of svcplane's rules, and exit")


def run(args: argparse.Namespace) -> int:
    logging.basicConfig(
        level=logging.DEBUG if args.verbosity >= 4 else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    options = _options(args)
    if os.geteuid() != 0:
        raise InputError("programming the kernel needs root (CAP_NET_ADMIN)")
    dataplane = NftablesDataplane(mark_bit=args.masquerade_bit)
    if args.cleanup:
        dataplane.cleanup()
        return 0
    access = connect(args.kubeconfig, master=args.master)
    return asyncio.run(_run(options, access, dataplane))


def _options(args: argparse.Namespace) -> AgentOptions:
    if args.proxy_mode not in _PROXY_MODES:
        raise InputError(f"--proxy-mode: {args.proxy_mode!r} is none of {', '.join(_PROXY_MODES)}")
    if not 0 <= args.masquerade_bit <= 31:
        raise InputError(f"--masquerade-bit: {args.masquerade_bit} is not between 0 and 31")
    name = (args.hostname_override.strip() or platform.node().strip()).lower()
    pace = Pace(minimum=args.min_sync_period, retry_most=args.sync_period)
    return AgentOptions(node_options(args, name, args.bind_address), pace, args.healthz_bind_address)


async def _run(options: AgentOptions, access: Access, dataplane: Dataplane) -> int:
    """Until SIGTERM or SIGINT. What is programmed stays, so that packets flow while the next agent starts."""
    async with Client(access) as client:
        agent = asyncio.create_task(Agent(options, client, dataplane).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, agent.cancel)
        try:
            await agent
        except asyncio.CancelledError:
            return 0
    return 0
