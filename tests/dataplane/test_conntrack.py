"""Which UDP flows are forgotten after a change: those that go where nobody serves them any more."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataplane.changes import Changes
from dataplane.conntrack import FlowCleaner, flows
from dataplane.netlink.channel import Channel
from dataplane.table import (
    Backend,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
    Reject,
)
from sctp import association

VIP, OTHER, NODE = "10.96.0.1", "10.96.0.2", "192.0.2.1"
PODS = ("10.244.1.1", "10.244.1.2")
CLIENT = "10.244.1.9"


def frontend(
    *serving: str, address: str = VIP, port: int = 53, protocol: Protocol = Protocol.UDP, forgetful: bool = True
) -> Frontend:
    """A frontend that forwards to these pods; without any it rejects."""
    key = FrontendKey(address, protocol, port)
    backends = tuple(Backend(pod, 5353, False) for pod in serving)
    verdict = Forward(Pool(backends), False) if backends else Reject()
    endpoints = frozenset(b.endpoint for b in backends)
    return Frontend(key, "default/dns", verdict, verdict, verdict, serving=endpoints if forgetful else None)


def table(*frontends: Frontend, nodes: frozenset[str] = frozenset()) -> ForwardingTable:
    return ForwardingTable({f.key: f for f in frontends}, node_addresses=nodes)


# --- which changes matter -------------------------------------------------------------------------------------------


def noted(before: ForwardingTable, after: ForwardingTable) -> set[FrontendKey]:
    cleaner = FlowCleaner()
    cleaner.note(Changes.between(before, after))
    return set(cleaner.pending)


@pytest.mark.parametrize(
    ("before", "after", "matters"),
    [
        (table(), table(frontend(PODS[0])), True),
        (table(frontend(PODS[0])), table(), True),
        (table(frontend(*PODS)), table(frontend(PODS[0])), True),
        (table(frontend(*PODS)), table(frontend()), True),
        (table(frontend(PODS[0])), table(frontend(*PODS)), False),
        (table(frontend()), table(frontend(PODS[0])), True),
        (table(), table(frontend(PODS[0], forgetful=False)), False),
        (table(frontend(PODS[0], forgetful=False)), table(), False),
        (table(frontend(*PODS, forgetful=False)), table(frontend(PODS[0], forgetful=False)), False),
        (table(frontend(PODS[0], forgetful=False)), table(frontend(PODS[0])), True),
    ],
    ids=[
        "new",
        "removed",
        "one leaves",
        "all leave",
        "one comes",
        "the first comes",
        "TCP new",
        "TCP gone",
        "TCP leaves",
        "forgets now",
    ],
)
def test_only_changes_that_strand_flows_matter(before: ForwardingTable, after: ForwardingTable, matters: bool) -> None:
    assert bool(noted(before, after)) is matters


def test_what_could_not_be_cleaned_stays_pending_until_it_could(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaner = FlowCleaner()
    after = table(frontend(PODS[0]))
    cleaner.note(Changes.between(table(), after))

    def refuse(*_: object) -> Iterator[Any]:
        raise PermissionError("no")

    monkeypatch.setattr("dataplane.conntrack.flows", refuse)
    with pytest.raises(PermissionError):
        cleaner.clean(after)
    assert cleaner.pending == {frontend(PODS[0]).key}
    monkeypatch.setattr("dataplane.conntrack.flows", lambda *_: iter(()))
    assert cleaner.clean(after).total() == 0
    assert not cleaner.pending


# --- real flows -----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_a_host(in_new_namespace: Callable[..., Any]) -> Callable[[Callable[[], None]], None]:
    """Call a test in a network namespace with every address on `lo`."""

    def call(work: Callable[[], None]) -> None:
        def on_host() -> None:
            for command in ("link set lo up", "route add default dev lo"):
                subprocess.run(["ip", *command.split()], check=True)
            translate("ct state new counter")  # without a rule that asks, the kernel tracks nothing
            for address in (*PODS, CLIENT, NODE):
                subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
            work()

        in_new_namespace(on_host)

    return call


def translate(rules: str) -> None:
    """Somebody's DNAT rules: `10.96.0.1:53 → 10.244.1.1`, so that flows are translated."""
    script = f"table ip test {{ chain c {{ type nat hook output priority -100\n{rules}\n}}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)


def send(to: str, port: int = 53, source_port: int = 0) -> int:
    """Begin a flow; returns the client's port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((CLIENT, source_port))
        client.sendto(b"?", (to, port))
        return int(client.getsockname()[1])


def existing(protocol: Protocol = Protocol.UDP) -> list[tuple[Endpoint, Endpoint]]:
    """(Whom the client wrote to, who answers) of every flow, sorted."""
    with Channel() as channel:
        return sorted((f.destination, f.answers) for f in flows(channel, Family.IPV4, protocol))


def clean(before: ForwardingTable, after: ForwardingTable) -> int:
    cleaner = FlowCleaner()
    try:
        cleaner.note(Changes.between(before, after))
        return cleaner.clean(after).total()
    finally:
        cleaner.close()


TO_BOTH = (
    f"ip daddr {VIP} udp sport 1001 dnat to {PODS[0]}:5353\nip daddr {VIP} udp sport 1002 dnat to {PODS[1]}:5353\n"
    f"ip daddr {NODE} udp sport 1003 dnat to {PODS[0]}:5353"
)
VIA = {pod: (Endpoint(VIP, 53), Endpoint(pod, 5353)) for pod in PODS}


@pytest.mark.kernel
def test_flows_to_a_pod_that_left_go_and_the_others_stay(on_a_host: Callable[..., None]) -> None:
    def work() -> None:
        translate(TO_BOTH)
        send(VIP, source_port=1001)
        send(VIP, source_port=1002)
        assert existing() == [VIA[PODS[0]], VIA[PODS[1]]]
        assert clean(table(frontend(*PODS)), table(frontend(PODS[1]))) == 1
        assert existing() == [VIA[PODS[1]]]

    on_a_host(work)


@pytest.mark.kernel
def test_flows_of_a_service_that_scales_to_zero_or_is_removed_go(on_a_host: Callable[..., None]) -> None:
    def work() -> None:
        translate(TO_BOTH)
        for after in (table(frontend()), table()):
            send(VIP, source_port=1001)
            assert clean(table(frontend(*PODS)), after) == 1
            assert existing() == []

    on_a_host(work)


@pytest.mark.kernel
def test_sctp_associations_go_where_the_table_says_so_and_only_there(on_a_host: Callable[..., None]) -> None:
    def sctp(*serving: str, forgetful: bool) -> ForwardingTable:
        return table(frontend(*serving, protocol=Protocol.SCTP, forgetful=forgetful))

    def work() -> None:
        translate(f"ip daddr {VIP} meta l4proto sctp dnat to {PODS[0]}:5353")
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP) as client:
            client.bind((CLIENT, 0))
            client.sendto(association(40000, 53), (VIP, 0))
        assert existing(Protocol.SCTP) == [VIA[PODS[0]]]
        assert clean(sctp(PODS[0], forgetful=False), sctp(forgetful=False)) == 0
        assert clean(table(frontend(PODS[0])), table()) == 0
        assert clean(sctp(PODS[0], forgetful=True), sctp(PODS[1], forgetful=True)) == 1
        assert existing(Protocol.SCTP) == []

    on_a_host(work)


@pytest.mark.kernel
def test_flows_that_began_before_the_service_existed_go(on_a_host: Callable[..., None]) -> None:
    def work() -> None:
        send(VIP)
        assert existing() == [(Endpoint(VIP, 53), Endpoint(VIP, 53))]
        assert clean(table(), table(frontend(PODS[0]))) == 1
        assert existing() == []

    on_a_host(work)


@pytest.mark.kernel
def test_flows_of_other_frontends_and_ports_stay(on_a_host: Callable[..., None]) -> None:
    def work() -> None:
        send(OTHER)
        send(VIP, port=54)
        send(NODE)
        before = existing()
        assert clean(table(frontend(*PODS), frontend(*PODS, address=OTHER)), table(frontend(*PODS, address=OTHER))) == 0
        assert clean(table(frontend(*PODS)), table(frontend())) == 0
        assert existing() == before

    on_a_host(work)


@pytest.mark.kernel
def test_an_untranslated_flow_to_a_removed_frontend_belongs_to_somebody_else(on_a_host: Callable[..., None]) -> None:
    def work() -> None:
        send(VIP)
        assert clean(table(frontend(*PODS)), table()) == 0

    on_a_host(work)


@pytest.mark.kernel
@pytest.mark.parametrize("nodes", [frozenset({NODE}), frozenset({"0.0.0.0"})], ids=["listed", "any"])
def test_a_node_ports_flows_are_those_to_node_addresses(on_a_host: Callable[..., None], nodes: frozenset[str]) -> None:
    node_port = frontend(PODS[0], address="0.0.0.0")
    gone = dataclasses.replace(node_port, serving=frozenset())

    def work() -> None:
        translate(TO_BOTH)
        send(NODE, source_port=1003)
        send(VIP, source_port=1002)
        assert clean(table(node_port, nodes=nodes), table(gone, nodes=nodes)) == 1
        assert existing() == [VIA[PODS[1]]]

    on_a_host(work)


@pytest.mark.kernel
def test_a_flow_to_an_external_address_is_not_the_node_ports(on_a_host: Callable[..., None]) -> None:
    """198.51.100.7:53 may be a frontend on a node's own address: it is asked first, as packets do."""
    own = frontend(PODS[0], address=NODE)
    node_port = frontend(PODS[0], address="0.0.0.0")
    nodes = frozenset({NODE})

    def work() -> None:
        translate(TO_BOTH)
        send(NODE, source_port=1003)
        assert clean(table(own, node_port, nodes=nodes), table(own, nodes=nodes)) == 0
        assert clean(table(own, nodes=nodes), table(nodes=nodes)) == 1

    on_a_host(work)


@pytest.mark.kernel
def test_flows_where_an_address_of_its_own_went_are_the_node_ports(on_a_host: Callable[..., None]) -> None:
    own = frontend(PODS[0], address=NODE)
    nodes = frozenset({NODE})

    def work() -> None:
        translate(TO_BOTH)
        send(NODE, source_port=1003)
        serving, not_serving = (frontend(pod, address="0.0.0.0") for pod in PODS)
        assert clean(table(own, serving, nodes=nodes), table(serving, nodes=nodes)) == 0
        assert clean(table(own, not_serving, nodes=nodes), table(not_serving, nodes=nodes)) == 1

    on_a_host(work)


@pytest.mark.kernel
def test_thousands_of_flows_go_at_once(on_a_host: Callable[..., None]) -> None:
    def work() -> None:
        for port in range(2000, 4500):
            send(VIP, source_port=port)
        send(OTHER)
        assert clean(table(), table(frontend(PODS[0]))) == 2500
        assert len(existing()) == 1

    on_a_host(work)
