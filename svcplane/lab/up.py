"""`svcplane lab up`: start a cluster."""

from __future__ import annotations

import argparse
import shlex
import sys
import time

from rich.console import Console

from controller.configuration.check import MODES
from controller.configuration.schema import KubeProxyConfiguration
from dataplane.errors import InputError
from lab.cluster.options import FAMILIES, NO_PROXY, LabOptions, lab_options
from lab.cluster.state import LabState, StateDirectory
from lab.cluster.up import LabError, require_root, up
from lab.network.namespace import in_new_namespace
from lab.network.topology import CLUSTER_CIDRS, MOST_NODES, SERVICE_CIDRS
from svcplane.flags import words
from svcplane.lab.common import DEFAULT_NAME, add_name, counted
from svcplane.modes import ModeFlags, try_out
from svcplane.userspace_flags import PORTS, UserspaceFlags

OUR_AGENT = (sys.executable, "-m", "svcplane.main", "agent")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    parser.add_argument("--nodes", type=int, default=2, metavar="N", help=f"1 to {MOST_NODES} (default: 2)")
    parser.add_argument("--ip-family", default="dual", choices=FAMILIES, help="(default: dual)")
    parser.add_argument(
        "--cluster-cidr", type=words, default=(), metavar="CIDR[,CIDR]", help=f"of pods ({','.join(CLUSTER_CIDRS)})"
    )
    parser.add_argument(
        "--service-cidr", type=words, default=(), metavar="CIDR[,CIDR]", help=f"of Services ({','.join(SERVICE_CIDRS)})"
    )
    parser.add_argument(
        "--proxy-mode",
        default="nftables",
        metavar="MODE",
        help=f"of the agents: {', '.join(MODES)}, or {NO_PROXY} to start none (default: nftables)",
    )
    parser.add_argument(
        "--userspace-port",
        choices=PORTS,
        help="with --proxy-mode=userspace: how packets come in, see 'svcplane agent --help' (default: nfqueue)",
    )
    parser.add_argument(
        "--agent",
        type=shlex.split,
        default=OUR_AGENT,
        metavar="COMMAND",
        help="run this on the nodes in place of 'svcplane agent'; it gets kube-proxy's flags",
    )


def agent_command(args: argparse.Namespace) -> tuple[str, ...]:
    """What to run on the nodes. InputError if its flags do not fit together, or this machine lacks what they need."""
    if not args.userspace_port:
        return tuple(args.agent)
    if args.proxy_mode != "userspace":
        raise InputError(f"--userspace-port={args.userspace_port}: expected with --proxy-mode=userspace")
    UserspaceFlags(args.userspace_port).check_here()
    return (*args.agent, f"--userspace-port={args.userspace_port}")


def run(args: argparse.Namespace) -> int:
    # Other agents may have other modes; ours would say this too, but only once the network is there.
    if args.agent == OUR_AGENT and args.proxy_mode not in (*MODES, NO_PROXY):
        raise InputError(f"--proxy-mode: {args.proxy_mode!r} is none of {', '.join((*MODES, NO_PROXY))}")
    agent = agent_command(args)
    if args.agent == OUR_AGENT and args.proxy_mode != NO_PROXY:
        require_root()
        _try_out(args.proxy_mode, UserspaceFlags(args.userspace_port) if args.userspace_port else UserspaceFlags())
    options = lab_options(
        name=args.name,
        nodes=args.nodes,
        family=args.ip_family,
        proxy_mode=args.proxy_mode,
        agent=agent,
        cluster_cidrs=args.cluster_cidr,
        service_cidrs=args.service_cidr,
    )
    start = time.monotonic()
    try:
        state = _start(options)
    except LabError as error:
        print(f"svcplane lab up: {error}", file=sys.stderr)
        return 1
    _say_how_to_use(state, time.monotonic() - start)
    return 0


def _try_out(mode: str, userspace: UserspaceFlags) -> None:
    """InputError if this kernel cannot do what the agents will ask of it: they would end again and again."""
    configuration = KubeProxyConfiguration(mode=mode)
    in_new_namespace(lambda: try_out(configuration, ModeFlags(userspace=userspace)))


def _start(options: LabOptions) -> LabState:
    console = Console(stderr=True)
    if not console.is_terminal:
        return up(options, step=lambda text: print(f"{options.name}: {text}", file=sys.stderr, flush=True))
    with console.status("starting") as status:
        return up(options, step=status.update)


def _say_how_to_use(state: LabState, seconds: float) -> None:
    name = state.options.name
    flag = "" if name == DEFAULT_NAME else f" --name {name}"
    proxy = "no proxy" if state.options.proxy_mode == NO_PROXY else state.options.proxy_mode
    print(
        f"Lab {name!r} is up after {seconds:.1f} s: {counted(state.options.nodes, 'node')}, {proxy}, "
        f"API server at {state.api}\n\n"
        f"  export KUBECONFIG={StateDirectory(name).kubeconfig}\n"
        f"  svcplane lab apply{flag} -f examples/web.yaml\n"
        f"  svcplane lab get{flag} pods,services -o wide\n"
        f"  svcplane lab exec{flag} pod/client -- curl -s CLUSTER-IP\n"
        f"  svcplane lab down{flag}"
    )
