"""What this node is to its Services: its place, its addresses, how its pods are told.

Two sources come together: what the operator wrote (`NodeOptions`, named as kube-proxy's flags are) and what the
node's object and its interfaces say at the moment. `node_view` joins them; it is pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.compile import NodeView
from controller.objects import LABEL_ZONE, Node
from controller.selection import Place
from dataplane.addresses import canonical_address, canonical_network, contains, host_network, is_loopback
from dataplane.errors import InputError
from dataplane.table import DetectLocal, Family, Protocol

MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
PRIMARY = "primary"


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the operator decides about this node. `node_port_addresses`: networks, or the one word ``primary``."""

    name: str
    detect_local_mode: str = "ClusterCIDR"
    cluster_cidrs: tuple[str, ...] = ()
    bridge_interface: str = ""
    interface_name_prefix: str = ""
    node_port_addresses: tuple[str, ...] = (PRIMARY,)
    masquerade_all: bool = False
    bind_address: str = ""  #: overrides the primary node address, if it is one
    external_ips: bool = True  #: whether ``Service.spec.externalIPs`` are served
    forget_sctp: bool = False  #: SCTP flows too, not only UDP's, when their endpoint serves no more


def node_addresses(node: Node | None, bind_address: str = "") -> tuple[str, ...]:
    """The node's addresses, primary first, at most one per family.

    As ``Node.status.addresses`` lists them, internal ones before external ones. `bind_address` takes the place
    of its family's, and the first place.
    """
    listed = (node.status.addresses if node and node.status else None) or ()
    ordered = [a.address for kind in ("InternalIP", "ExternalIP") for a in listed if a.type == kind]
    given = canonical_address(bind_address) if bind_address else None
    if given is not None and given not in (f.any_address for f in Family):
        ordered.insert(0, given)
    found: dict[Family, str] = {}
    for address in filter(None, map(canonical_address, ordered)):
        found.setdefault(Family.of(address), address)
    return tuple(found.values())


def node_view(options: NodeOptions, node: Node | None, interface_addresses: Iterable[str]) -> NodeView:
    """Everything that compiling depends on, from the operator's options and the node as it is now."""
    addresses = node_addresses(node, options.bind_address)
    labels = (node.metadata.labels if node else None) or {}
    return NodeView(
        place=Place(options.name, labels.get(LABEL_ZONE, "")),
        addresses=addresses,
        node_port_addresses=_node_port_addresses(options.node_port_addresses, addresses, interface_addresses),
        detect_local=_detect_local(options, node),
        masquerade_all=options.masquerade_all,
        external_ips=options.external_ips,
        forgetful=frozenset({Protocol.UDP, Protocol.SCTP} if options.forget_sctp else {Protocol.UDP}),
    )


def _node_port_addresses(
    wanted: tuple[str, ...], addresses: tuple[str, ...], interface_addresses: Iterable[str]
) -> frozenset[str]:
    """Where NodePorts answer. A family that nothing is said about answers on all its addresses."""
    present = tuple(interface_addresses)
    if wanted == (PRIMARY,):
        wanted = tuple(map(host_network, addresses))
    found: set[str] = set()
    for family in Family:
        networks = tuple(n for n in wanted if Family.of(n) is family)
        if not networks or any(n.endswith("/0") for n in networks):
            found.add(family.any_address)
            continue
        own = (a for a in present if Family.of(a) is family)
        found.update(a for a in own if contains(networks, a) and not is_loopback(a))
    return frozenset(found)


def _detect_local(options: NodeOptions, node: Node | None) -> DetectLocal:
    if options.detect_local_mode == "BridgeInterface":
        return DetectLocal(interface=options.bridge_interface)
    if options.detect_local_mode == "InterfaceNamePrefix":
        return DetectLocal(interface=options.interface_name_prefix, prefix=True)
    if options.detect_local_mode == "NodeCIDR":
        spec = node.spec if node else None
        texts = ((spec.pod_cidrs or (spec.pod_cidr,)) if spec else ()) or ()
        return DetectLocal(_first_of_each_family(filter(None, map(canonical_network, texts))))
    return DetectLocal(_first_of_each_family(options.cluster_cidrs))


def _first_of_each_family(networks: Iterable[str]) -> tuple[str, ...]:
    found: dict[Family, str] = {}
    for text in networks:
        found.setdefault(Family.of(text), text)
    return tuple(found.values())


def check_options(options: NodeOptions) -> NodeOptions:
    """The same options with networks in canonical form. InputError names the flag that is wrong."""
    mode = options.detect_local_mode
    if mode not in MODES:
        raise InputError(f"--detect-local-mode: {mode!r} is none of {', '.join(MODES)}")
    if mode == "BridgeInterface" and not options.bridge_interface:
        raise InputError("--pod-bridge-interface: needed with --detect-local-mode=BridgeInterface")
    if mode == "InterfaceNamePrefix" and not options.interface_name_prefix:
        raise InputError("--pod-interface-name-prefix: needed with --detect-local-mode=InterfaceNamePrefix")
    cluster_cidrs = _networks("--cluster-cidr", options.cluster_cidrs)
    if len(cluster_cidrs) > 2 or len({Family.of(n) for n in cluster_cidrs}) != len(cluster_cidrs):
        raise InputError("--cluster-cidr: expected one network, or one of each family")
    wanted = options.node_port_addresses
    if PRIMARY in wanted and wanted != (PRIMARY,):
        raise InputError("--nodeport-addresses: 'primary' can't be combined with networks")
    if wanted != (PRIMARY,):
        wanted = _networks("--nodeport-addresses", wanted)
    if options.bind_address and canonical_address(options.bind_address) is None:
        raise InputError(f"--bind-address: {options.bind_address!r} is no IP address")
    return replace(options, cluster_cidrs=cluster_cidrs, node_port_addresses=wanted)


def _networks(flag: str, texts: Iterable[str]) -> tuple[str, ...]:
    found = []
    for text in texts:
        network = canonical_network(text.strip())
        if network is None:
            raise InputError(f"{flag}: {text!r} is no network (expected address/length, like 10.244.0.0/16)")
        found.append(network)
    return tuple(found)
