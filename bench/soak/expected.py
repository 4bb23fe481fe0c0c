"""What clients should see once all has settled, compiled anew from the cluster's objects, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from bench.soak.addresses import CLUSTER_CIDRS, FAMILIES, NODE, NODE_ADDRESSES, cluster_ip, node_port
from bench.soak.changes import SLOTS
from controller.api.wire import Changed, Decoder
from controller.cluster import Cluster
from controller.compiler import Compiler
from controller.node import NodeOptions, node_view
from controller.objects import EndpointSlice, Node, Object, Service
from dataplane.table import Client, Forward, ForwardingTable, Frontend, FrontendKey, Protocol
from lab.api.registry import ENDPOINT_SLICES, NODES, SERVICES, Resource
from lab.api.store import Store

T = TypeVar("T", bound=Object)


class Question(NamedTuple):
    """As `bench.soak.clients` takes it."""

    protocol: str
    address: str
    port: int
    times: int


def table(store: Store) -> ForwardingTable:
    """What an agent that starts now should program."""
    cluster = Cluster(lambda: None)
    cluster.services.replace({o.metadata.key: o for o in _objects(store, SERVICES, Decoder(Service))})
    cluster.slices.replace({o.metadata.key: o for o in _objects(store, ENDPOINT_SLICES, Decoder(EndpointSlice))})
    (node,) = _objects(store, NODES, Decoder(Node))
    view = node_view(NodeOptions(NODE, cluster_cidrs=CLUSTER_CIDRS), node, NODE_ADDRESSES)
    return Compiler(view).update(cluster.everything())


def _objects(store: Store, resource: Resource, decoder: Decoder[T]) -> Iterator[T]:
    for obj in store.list(resource)[0]:
        event = decoder.event(msgspec.json.encode({"type": "ADDED", "object": obj}))
        assert isinstance(event, Changed)
        assert event.object is not None
        yield event.object


def questions(client: Client) -> list[Question]:
    """Every address and port that was ever served; from outside, only the NodePorts."""
    asked = []
    for slot in range(SLOTS):
        for family, node_address in zip(FAMILIES, NODE_ADDRESSES, strict=True):
            if client is not Client.OUTSIDE:
                address = cluster_ip(slot, family)
                asked += [Question("tcp", address, port, 3) for port in (80, 81)]
                asked.append(Question("udp", address, 53, 1))
            asked += [Question(protocol, node_address, node_port(slot), 1) for protocol in ("tcp", "udp")]
    return asked


def mistakes(expected: ForwardingTable, client: Client, answers: Mapping[Question, list[str]]) -> dict[Question, str]:
    """Each answer that is not right, in words."""
    wrong = {}
    for question, seen in answers.items():
        right, remembers = _right(expected, client, question)
        strange = set(seen) - right
        if strange:
            wrong[question] = f"{client.name} asked {question}: {sorted(strange)}, not one of {sorted(right)}"
        elif remembers and len(seen) > 1:
            wrong[question] = f"{client.name} asked {question}: {seen}, though it has affinity"
    return wrong


def _right(expected: ForwardingTable, client: Client, question: Question) -> tuple[set[str], bool]:
    """All answers that are right ("" is none), and whether they must be the same each time."""
    frontend = _frontend(expected, question)
    if frontend is None:
        return {""}, False
    verdict = frontend.verdict(client)
    flows_go_on = {f"{e.address} {e.port}" for e in frontend.serving or ()}
    if not isinstance(verdict, Forward):
        return {"", *flows_go_on}, False
    backends = {f"{b.address} {b.port}" for b in verdict.pool.backends}
    return backends | flows_go_on, verdict.pool.affinity is not None


def _frontend(expected: ForwardingTable, question: Question) -> Frontend | None:
    protocol = Protocol(question.protocol.upper())
    found = expected.frontends.get(FrontendKey(question.address, protocol, question.port))
    if found is None and question.address in NODE_ADDRESSES:
        any_address = FrontendKey(question.address, protocol, question.port).family.any_address
        found = expected.frontends.get(FrontendKey(any_address, protocol, question.port))
    return found
