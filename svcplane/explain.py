"""`svcplane explain`: where one packet goes and why. Needs no root and no cluster, only manifests."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence

import msgspec

from controller.compiler import Compiler, ServiceKey
from controller.explanation import choice_for
from controller.node import node_view
from controller.objects import Node
from dataplane.addresses import canonical_network
from dataplane.errors import InputError
from dataplane.reference import State, decide
from dataplane.table import Client, Family, Protocol
from lab.manifests import load
from lab.network.topology import CLUSTER_CIDRS, SERVICE_CIDRS
from lab.paper import PaperCluster
from svcplane.flags import natural, words
from svcplane.node_flags import add_node_flags, node_options
from svcplane.question import VIA, Sender, addresses_of, find_node, find_sender, find_target, packet_from
from svcplane.story import Story

_FAMILIES = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
_LOOPBACK = ("127.0.0.1", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f", "--filename", action="append", required=True, metavar="FILE", help="manifests: a file, a folder or -"
    )
    parser.add_argument(
        "--from", dest="sender", required=True, metavar="WHO", help="pod/NAME[.NAMESPACE] | node[/NAME] | outside"
    )
    parser.add_argument("--to", required=True, metavar="WHERE", help="SERVICE[.NAMESPACE]:PORT | ADDRESS:PORT")
    parser.add_argument("--via", choices=VIA, help="by which of the Service's addresses (default: what fits WHO)")
    parser.add_argument("--protocol", type=str.upper, choices=[p.value for p in Protocol], help="(default: the port's)")
    parser.add_argument("--family", choices=_FAMILIES, help="(default: the Service's first)")
    parser.add_argument("--node", default="", help="the node that WHO is outside of (default: the first)")
    parser.add_argument("--nodes", type=natural, default=2, metavar="N", help="how many nodes to imagine (default: 2)")
    parser.add_argument(
        "--not-ready", action="append", default=[], metavar="POD", help="imagine that this pod is not ready"
    )
    parser.add_argument(
        "--service-cidr",
        type=words,
        default=SERVICE_CIDRS,
        metavar="CIDR[,CIDR]",
        help=f"where cluster IPs come from, one of each family (default: {','.join(SERVICE_CIDRS)})",
    )
    parser.add_argument("--seed", type=int, help="make what is left to chance the same each time")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    add_node_flags(parser, CLUSTER_CIDRS)


def run(args: argparse.Namespace) -> int:
    story = _tell(args)
    if args.json:
        print(json.dumps(story.as_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(story.as_text()))
    return 0


def _tell(args: argparse.Namespace) -> Story:
    # Names and addresses of the imagined cluster are always the same; --seed is for the pick.
    cluster = PaperCluster(
        load(args.filename),
        nodes=args.nodes,
        not_ready=args.not_ready,
        service_networks=_service_networks(args.service_cidr),
    )
    chance = random.Random(args.seed)
    nodes = cluster.nodes()
    default_node = args.node or nodes[0]["metadata"]["name"]
    sender = find_sender(args.sender, cluster.pods(), nodes, default_node)
    node = find_node(sender.node, nodes)
    own_addresses = addresses_of(node)
    options = node_options(args, sender.node)
    view = node_view(options, msgspec.convert(node, Node), own_addresses)

    known = cluster.known()
    table = Compiler(view).update(known.everything(), view, cluster.service_networks())
    target = find_target(
        args.to,
        list(known.services.objects.values()),
        own_addresses,
        family=_FAMILIES.get(args.family),
        via=args.via,
        protocol=Protocol(args.protocol) if args.protocol else None,
        from_outside=sender.name == "outside",
    )
    interface = _interface(sender, options.bridge_interface, options.interface_name_prefix)
    packet = packet_from(sender, target, interface, chance)
    egress = {Family.of(address): address for address in own_addresses}
    decision = decide(table, packet, State(frozenset((*own_addresses, *_LOOPBACK)), egress), chance.randrange)
    choice = None
    if decision.frontend is not None:
        # A source that is kept out is not asked who it is; the endpoints are then told as for an outsider.
        client = decision.client or Client.OUTSIDE
        service, slices = known.look_up(_service_key(decision.frontend.service))
        if service is not None:
            choice = choice_for(service, slices, view, decision.frontend, client)
    return Story(sender, target, sender.node, packet, decision, choice)


def _service_networks(texts: Sequence[str]) -> tuple[str, ...]:
    networks = tuple(filter(None, map(canonical_network, texts)))
    if len({Family.of(n) for n in networks}) != len(texts) or not texts:
        raise InputError(f"--service-cidr {','.join(texts)!r}: expected one network, or one of each family")
    return networks


def _interface(sender: Sender, bridge: str, prefix: str) -> str:
    """The interface that the packet comes in by. On paper, pods come by the one that the flags name."""
    return (bridge or f"{prefix or 'veth'}1") if sender.is_pod else "eth0"


def _service_key(service_port: str) -> ServiceKey:
    namespace, _, rest = service_port.partition("/")
    return namespace, rest.partition(":")[0]
