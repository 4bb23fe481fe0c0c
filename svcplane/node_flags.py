"""The flags that say how a node treats its Services, for commands that are not `agent` but imagine one."""

from __future__ import annotations

import argparse

from controller.node import MODES, PRIMARY, NodeOptions, check_options
from svcplane.flags import add_boolean, words


def add_node_flags(parser: argparse.ArgumentParser, cluster_cidrs: tuple[str, ...] = ()) -> None:
    """`cluster_cidrs` is the default of --cluster-cidr."""
    pods = parser.add_argument_group("which clients are pods")
    default = f" (default: {','.join(cluster_cidrs)})" if cluster_cidrs else ""
    pods.add_argument("--detect-local-mode", default="ClusterCIDR", metavar="MODE", help=" | ".join(MODES))
    pods.add_argument(
        "--cluster-cidr",
        type=words,
        default=cluster_cidrs,
        metavar="CIDR[,CIDR]",
        help=f"the pods' network, one of each family{default}",
    )
    pods.add_argument("--pod-bridge-interface", default="", metavar="NAME", help="the bridge that pods come in by")
    pods.add_argument("--pod-interface-name-prefix", default="", metavar="PREFIX", help="how their interfaces begin")

    rules = parser.add_argument_group("what is done for them")
    rules.add_argument(
        "--nodeport-addresses",
        type=words,
        default=(PRIMARY,),
        metavar="CIDR[,CIDR]|primary",
        help="the addresses of this host that NodePorts answer on (default: primary)",
    )
    add_boolean(rules, "--masquerade-all", "masquerade all that is sent to cluster IPs")


def node_options(args: argparse.Namespace, name: str, bind_address: str = "") -> NodeOptions:
    """What the flags say, checked. InputError names the flag that is wrong."""
    return check_options(
        NodeOptions(
            name=name,
            detect_local_mode=args.detect_local_mode or "ClusterCIDR",
            cluster_cidrs=args.cluster_cidr,
            bridge_interface=args.pod_bridge_interface,
            interface_name_prefix=args.pod_interface_name_prefix,
            node_port_addresses=args.nodeport_addresses or (PRIMARY,),
            masquerade_all=args.masquerade_all,
            bind_address=bind_address,
        )
    )
