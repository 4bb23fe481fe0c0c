"""From names to a packet: who sends to what, in the words of the command line."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.objects import Service, ServicePort
from controller.service import cluster_ips_of, facts_of, protocol_of
from dataplane.addresses import canonical_address
from dataplane.errors import InputError
from dataplane.reference import Packet
from dataplane.table import Endpoint, Family, Protocol
from lab.api.errors import Object
from lab.network.topology import OUTSIDE, cluster_topology

VIA = ("cluster-ip", "node-port", "load-balancer", "external-ip")

_TO = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[A-Za-z0-9-]+)")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: a name for people, its addresses, the node that sees its packets first, and how they arrive there."""

    name: str
    addresses: tuple[str, ...]
    node: str
    is_pod: bool
    is_node: bool


@dataclass(frozen=True, slots=True)
class Target:
    """What is sent to: a name for people, and the destination."""

    name: str
    destination: Endpoint
    protocol: Protocol


def find_sender(text: str, pods: Sequence[Object], nodes: Sequence[Object], node: str) -> Sender:
    """From ``pod/NAME[.NAMESPACE]``, ``node[/NAME]`` or ``outside``. `node` is the one to use where none is said."""
    kind, _, name = text.partition("/")
    if kind == "pod" and name:
        pod = _find_pod(name, pods)
        at = pod["spec"]["nodeName"]
        addresses = _canonical(ip.get("ip", "") for ip in pod["status"]["podIPs"])
        shares = bool(pod["spec"].get("hostNetwork"))
        return Sender(f"pod/{pod['metadata']['name']}", addresses, at, is_pod=not shares, is_node=shares)
    if kind == "node":
        at = name or node
        return Sender(f"node/{at}", addresses_of(find_node(at, nodes)), at, is_pod=False, is_node=True)
    if text == "outside":
        outside = cluster_topology(1).host(OUTSIDE).addresses
        return Sender("outside", outside, node, is_pod=False, is_node=False)
    raise InputError(f"--from: {text!r} is nobody (expected pod/NAME, node, node/NAME or outside)")


def find_node(name: str, nodes: Sequence[Object]) -> Object:
    for node in nodes:
        if node["metadata"]["name"] == name:
            return node
    names = ", ".join(node["metadata"]["name"] for node in nodes)
    raise InputError(f"there is no node {name} (there are: {names})")


def addresses_of(node: Object) -> tuple[str, ...]:
    listed = node.get("status", {}).get("addresses") or ()
    return _canonical(a["address"] for a in listed if a["type"] == "InternalIP")


def _canonical(texts: Iterable[str]) -> tuple[str, ...]:
    """Those that are IP addresses: what a status says is not checked by an API server."""
    return tuple(filter(None, map(canonical_address, texts)))


def _find_pod(name: str, pods: Sequence[Object]) -> Object:
    """By its name, with or without namespace; or the first of those that belong to a workload of that name."""
    wanted, _, namespace = name.partition(".")
    placed = [p for p in pods if p["spec"].get("nodeName") and p.get("status", {}).get("podIPs")]
    inside = [p for p in placed if p["metadata"].get("namespace", "default") == (namespace or "default")]
    by_name = {str(p["metadata"]["name"]): p for p in inside}
    if wanted in by_name:
        return by_name[wanted]
    found = sorted(n for n in by_name if n.startswith(f"{wanted}-"))
    if found:
        return by_name[found[0]]
    names = ", ".join(sorted(by_name)) or "none"
    raise InputError(f"--from: there is no pod {wanted} in namespace {namespace or 'default'} (there are: {names})")


def find_target(
    text: str,
    services: Sequence[Service],
    node_addresses: Sequence[str],
    *,
    family: Family | None,
    via: str | None,
    protocol: Protocol | None,
    from_outside: bool,
) -> Target:
    """From ``SERVICE[.NAMESPACE]:PORT`` or ``ADDRESS:PORT``; PORT is a number or a port's name.

    A Service is reached by its cluster IP, unless `via` says otherwise, the port is its NodePort, or the sender is
    outside and the Service has an address for outsiders.
    """
    match = _TO.fullmatch(text)
    if match is None:
        raise InputError(f"--to: {text!r} is no destination (expected SERVICE[.NAMESPACE]:PORT or ADDRESS:PORT)")
    host, port = match["v6"] or match["host"], match["port"]
    address = canonical_address(host)
    if address is not None:
        if family and family is not Family.of(address):
            raise InputError(f"--family: {address} is not an {family.word} address")
        return Target(text, Endpoint(address, _number(text, port)), protocol or Protocol.TCP)
    name, namespace = _parts_of_name(host)
    service = _find_service(name, namespace, services)
    of_family = facts_of(service, node_addresses)
    asked = family or next(iter(of_family))
    facts = of_family.get(asked)
    if facts is None:
        raise InputError(f"--to: service {host} has no {asked.word} address")
    found = _find_port(service, port, protocol)
    called = f"{facts.name}, port {port}"
    if found is None:
        return Target(called, Endpoint(facts.cluster_ip, _number(text, port)), protocol or Protocol.TCP)
    spoken = protocol_of(found) or Protocol.TCP
    through_node = str(found.node_port) == port if via is None else via == "node-port"
    if through_node:
        own = next((a for a in node_addresses if Family.of(a) is asked), None)
        if not found.node_port or own is None:
            raise InputError(f"--via: service {host} has no NodePort at port {port}")
        return Target(f"{called}, by its NodePort", Endpoint(own, found.node_port), spoken)
    entrances = {
        "load-balancer": facts.load_balancer_ips,
        "external-ip": facts.external_ips,
        "cluster-ip": (facts.cluster_ip,),
    }
    ways = [via] if via else (list(entrances) if from_outside else ["cluster-ip"])
    for way in ways:
        if entrances[way]:
            return Target(f"{called}, by its {_WAY_WORDS[way]}", Endpoint(entrances[way][0], found.port), spoken)
    raise InputError(f"--via: service {host} has no {_WAY_WORDS[ways[0]]} ({asked.word})")


_WAY_WORDS = {"load-balancer": "load-balancer address", "external-ip": "external IP", "cluster-ip": "cluster IP"}


def _parts_of_name(text: str) -> tuple[str, str]:
    """Name and namespace, from any of the names that DNS has for a Service in whatever domain."""
    name, namespace, *domain = text.split(".") if "." in text else (text, "default")
    if not name or not namespace or domain[:1] not in ([], ["svc"]):
        raise InputError(f"--to: {text!r} names no service (expected SERVICE, SERVICE.NAMESPACE or its name in DNS)")
    return name, namespace


def _find_service(name: str, namespace: str, services: Sequence[Service]) -> Service:
    for service in services:
        if service.metadata.key == (namespace, name):
            if service.spec.type == "ExternalName":
                raise InputError(f"--to: {name} is an ExternalName: only a name in DNS, no packet is sent to it")
            if not cluster_ips_of(service):
                raise InputError(
                    f"--to: {name} is headless: DNS gives its pods' own addresses, and no dataplane takes part"
                )
            return service
    names = ", ".join(f"{s.metadata.name}.{s.metadata.namespace}" for s in services) or "none"
    raise InputError(f"--to: there is no service {name} in namespace {namespace} (there are: {names})")


def _find_port(service: Service, text: str, protocol: Protocol | None) -> ServicePort | None:
    """The port of that name or number, or of that NodePort. None for a number that is none of them."""
    ports = [p for p in service.spec.ports or () if protocol is None or p.protocol == protocol]
    for spellings in (
        [str(p.port) for p in ports],
        [p.name for p in ports],
        [str(p.node_port or "") for p in ports],
    ):
        if text in spellings:
            return ports[spellings.index(text)]
    if text.isdigit():
        return None
    names = ", ".join(p.name for p in ports if p.name) or "none has a name"
    raise InputError(f"--to: service {service.metadata.name} has no port {text} (its ports: {names})")


def _number(text: str, port: str) -> int:
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"--to: {text!r}: {port!r} is no port (expected a number from 1 to 65535)")
    return int(port)


def packet_from(sender: Sender, target: Target, interface: str | None, chance: random.Random) -> Packet:
    """The connection's first packet, from a source port that is chosen as a client's kernel would."""
    family = Family.of(target.destination.address)
    source = next((a for a in sender.addresses if Family.of(a) is family), None)
    if source is None:
        raise InputError(f"--from: {sender.name} has no {family.word} address")
    port = chance.randrange(32768, 61000)
    return Packet(Endpoint(source, port), target.destination, target.protocol, None if sender.is_node else interface)
