"""UDP flows follow the table: an apply forgets those that lead where nobody serves any more."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from dataplane.conntrack import FlowCleaner, flows
from dataplane.netlink.channel import Channel
from dataplane.nftables import NftablesDataplane
from dataplane.table import Drop, Forward, ForwardingTable, Protocol, Verdict
from fault import fault

pytestmark = pytest.mark.kernel


def dns(tables: Any, *pods: int) -> ForwardingTable:
    pool = tables.pool(*pods, port=5353)
    serving = frozenset(backend.endpoint for backend in pool.backends)
    frontend = tables.frontend(tables.vip(1), 53, Forward(pool, False), protocol=Protocol.UDP, serving=serving)
    return tables.table(frontend)


def answering(tables: Any) -> set[str]:
    with Channel() as channel:
        return {flow.answers.address for flow in flows(channel, tables.family)}


def ask(tables: Any, network: Any) -> None:
    with socket.socket(network.type, socket.SOCK_DGRAM) as client:
        client.bind((tables.pod(9), 0))
        client.sendto(b"?", (tables.vip(1), 53))


def test_an_apply_forgets_flows_to_a_pod_that_left(
    tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any]
) -> None:
    def work() -> None:
        network, dataplane = host(), NftablesDataplane()
        network.serve(1, port=5353, kind=socket.SOCK_DGRAM)
        dataplane.apply(dns(tables, 1))
        ask(tables, network)
        assert answering(tables) == {tables.pod(1)}
        dataplane.apply(dns(tables, 1, 2))
        assert answering(tables) == {tables.pod(1)}
        dataplane.apply(dns(tables, 2))
        assert answering(tables) == set()
        network.close()

    in_new_namespace(work)


def test_valid_flows_survive_a_restart(
    tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any]
) -> None:
    def work() -> None:
        network = host()
        network.serve(1, port=5353, kind=socket.SOCK_DGRAM)
        NftablesDataplane().apply(dns(tables, 1))
        ask(tables, network)
        NftablesDataplane().apply(dns(tables, 1, 2))
        assert answering(tables) == {tables.pod(1)}
        NftablesDataplane().apply(dns(tables, 2))
        assert answering(tables) == set()
        network.close()

    in_new_namespace(work)


def test_flows_of_a_service_that_went_while_no_agent_ran_are_forgotten_too(
    tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any]
) -> None:
    def work() -> None:
        network = host()
        network.serve(1, port=5353, kind=socket.SOCK_DGRAM)
        NftablesDataplane().apply(dns(tables, 1))
        ask(tables, network)
        assert answering(tables) == {tables.pod(1)}
        NftablesDataplane().apply(tables.table())
        assert answering(tables) == set()
        network.close()

    in_new_namespace(work)


@pytest.mark.parametrize("node_port", [False, True], ids=["cluster IP", "NodePort"])
def test_flows_that_went_on_where_new_ones_were_refused_are_forgotten_too(
    tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any], node_port: bool
) -> None:
    pool, nodes = tables.pool(1, port=5353), frozenset({tables.pod(9)})
    serving = frozenset(backend.endpoint for backend in pool.backends)
    address, asked = (tables.any, tables.pod(9)) if node_port else (tables.vip(1), tables.vip(1))

    def table(verdict: Verdict) -> ForwardingTable:
        udp = tables.frontend(address, 53, verdict, protocol=Protocol.UDP, serving=serving)
        return tables.table(udp, node_addresses=nodes)

    def work() -> None:
        network, first = host(), NftablesDataplane()
        network.serve(1, port=5353, kind=socket.SOCK_DGRAM)
        first.apply(table(Forward(pool, True)))
        with socket.socket(network.type, socket.SOCK_DGRAM) as client:
            client.sendto(b"?", (asked, 53))
        first.apply(table(Drop()))
        assert answering(tables) == {tables.pod(1)}
        NftablesDataplane().apply(tables.table(node_addresses=nodes))
        assert answering(tables) == set()
        network.close()

    in_new_namespace(work)


def test_flows_of_a_node_port_that_went_while_no_agent_ran_are_forgotten_too(
    tables: Any, host: Callable[[], Any], in_new_namespace: Callable[..., Any]
) -> None:
    def table(*ports: int) -> ForwardingTable:
        pool = tables.pool(1, port=5353)
        serving = frozenset(backend.endpoint for backend in pool.backends)
        made = (
            tables.frontend(tables.any, p, Forward(pool, True), protocol=Protocol.UDP, serving=serving) for p in ports
        )
        return tables.table(*made, node_addresses=frozenset({tables.pod(9)}))

    def work() -> None:
        network = host()
        network.serve(1, port=5353, kind=socket.SOCK_DGRAM)
        NftablesDataplane().apply(table(30053, 30054))
        for port in (30053, 30054):
            with socket.socket(network.type, socket.SOCK_DGRAM) as client:
                client.sendto(b"?", (tables.pod(9), port))
        NftablesDataplane().apply(table(30053))
        with Channel() as channel:
            assert [flow.destination.port for flow in flows(channel, tables.family)] == [30053]
        network.close()

    in_new_namespace(work)


@fault(
    "the agent is killed after the rules are in force, before old UDP flows are forgotten",
    place=202,
    seen="UDP clients of a Service that is gone, if they keep their port, go on to its last endpoint",
    well="the next agent's first sync: the rules say which Services were removed",
    kube_proxy="such flows stay, without a kill too",
)
@pytest.mark.parametrize("node_port", [False, True], ids=["cluster IP", "NodePort"])
def test_an_agent_that_ends_before_it_has_forgotten_flows_tells_the_next_one(
    tables: Any,
    host: Callable[[], Any],
    in_new_namespace: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    node_port: bool,
) -> None:
    pool = tables.pool(1, port=5353)
    serving = frozenset(backend.endpoint for backend in pool.backends)
    address, asked = (tables.any, tables.pod(9)) if node_port else (tables.vip(1), tables.vip(1))
    udp = tables.frontend(address, 53, Forward(pool, True), protocol=Protocol.UDP, serving=serving)
    nodes = frozenset({tables.pod(9)})

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    def work() -> None:
        network, first = host(), NftablesDataplane()
        network.serve(1, port=5353, kind=socket.SOCK_DGRAM)
        first.apply(tables.table(udp, node_addresses=nodes))
        with socket.socket(network.type, socket.SOCK_DGRAM) as client:
            client.sendto(b"?", (asked, 53))
        with monkeypatch.context() as broken:
            broken.setattr(FlowCleaner, "clean", killed)
            with pytest.raises(KeyboardInterrupt):
                first.apply(tables.table(node_addresses=nodes))
        assert answering(tables) == {tables.pod(1)}
        second = NftablesDataplane()
        second.apply(tables.table(node_addresses=nodes))
        assert answering(tables) == set()
        assert not second.audit()
        network.close()

    in_new_namespace(work)


def test_flows_that_cannot_be_forgotten_now_do_not_fail_the_apply_and_are_tried_again_by_the_next(
    ipv4: Any, in_new_namespace: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError("no")

    def work() -> None:
        dataplane = NftablesDataplane()
        with monkeypatch.context() as broken:
            broken.setattr(FlowCleaner, "clean", refuse)
            table = dns(ipv4, 1)
            first = dataplane.apply(table)
        assert first.operations
        assert str(next(iter(table.frontends))) in first.unfinished
        again = dataplane.apply(table)
        assert (again.operations, again.unfinished) == (0, "")

    in_new_namespace(work)
