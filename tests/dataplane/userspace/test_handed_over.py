"""An engine's flows become connections of the kernel, in a network namespace of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from dataplane.netlink.channel import Channel
from dataplane.netlink.conntrack import Entry, Status, TcpState, entries
from dataplane.table import Endpoint, Family, ForwardingTable, Protocol
from dataplane.userspace.handed_over import HandedOver, hand_over
from dataplane.userspace.saved import SavedFlow
from dataplane.userspace.taken_over import connections
from lab.network.namespace import Namespace
from native.library import lib
from small_node import NAMES, Node

pytestmark = pytest.mark.kernel

CLIENT_DONE, BACKEND_DONE = lib.TRACKING_FIN_ORIGINAL, lib.TRACKING_FIN_REPLY
ANSWERED, OPEN = lib.TRACKING_REPLIED, lib.TRACKING_REPLIED | lib.TRACKING_ACKNOWLEDGED
FAMILIES = pytest.mark.parametrize("family", Family, ids=lambda family: family.word)


@pytest.fixture
def machine() -> Iterator[Namespace]:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network namespace of its own")
    machine = Namespace(f"handed-{os.getpid()}", "a").create()
    try:
        yield machine
    finally:
        machine.delete()


def flow(family: Family = Family.IPV4, **different: Any) -> SavedFlow:
    """A pod is connected to the web, which answers on this node."""
    names = NAMES[family]
    client = Endpoint(names.pod, 40000)
    known = SavedFlow(
        protocol=Protocol.TCP,
        client=client,
        service=Endpoint(names.service, 80),
        backend=Endpoint(names.here, 8080),
        seen_as=client,
        name="default/web:http",
        milliseconds=100_000,
        packets=(3, 2),
        events=OPEN,
        node_port=False,
        masquerade=False,
        hairpin=False,
    )
    return msgspec.structs.replace(known, **different)


def masqueraded(family: Family) -> SavedFlow:
    """Somebody outside has come in by a NodePort, and the backend sees this node."""
    names = NAMES[family]
    return flow(
        family,
        client=Endpoint(names.outside, 40000),
        service=Endpoint(names.node, 30080),
        seen_as=Endpoint(names.node, 51234),
        node_port=True,
        masquerade=True,
    )


def handed_over(machine: Namespace, *flows: SavedFlow, table: ForwardingTable | None = None) -> HandedOver:
    return machine.call(lambda: hand_over(flows, table or ForwardingTable()))


def known(machine: Namespace, family: Family = Family.IPV4, protocol: Protocol = Protocol.TCP) -> list[Entry]:
    def listed() -> list[Entry]:
        with Channel() as channel:
            return list(entries(channel, family, protocol))

    return machine.call(listed)


@FAMILIES
@pytest.mark.parametrize("made", [flow, masqueraded])
def test_the_kernel_knows_who_is_who(machine: Namespace, made: Any, family: Family) -> None:
    wanted = made(family)
    assert handed_over(machine, wanted) == (1, "")
    (entry,) = known(machine, family)
    assert (entry.original.source, entry.original.destination) == (wanted.client, wanted.service)
    assert (entry.reply.source, entry.reply.destination) == (wanted.backend, wanted.seen_as)
    assert Status.DST_NAT in entry.status
    assert 50 < entry.seconds <= 100


@FAMILIES
@pytest.mark.parametrize("made", [flow, masqueraded])
def test_an_engine_that_comes_again_finds_the_same(machine: Namespace, node: Node, made: Any, family: Family) -> None:
    wanted = made(family)
    handed_over(machine, wanted)
    (again,) = machine.call(lambda: connections(node.engine.table, node.engine.host)).flows
    assert msgspec.structs.replace(again, milliseconds=wanted.milliseconds, packets=wanted.packets) == wanted


@pytest.mark.parametrize(
    ("events", "state", "status"),
    [
        (0, TcpState.SYN_SENT, Status(0)),
        (ANSWERED, TcpState.SYN_RECV, Status.SEEN_REPLY),
        (OPEN, TcpState.ESTABLISHED, Status.SEEN_REPLY | Status.ASSURED),
        (OPEN | CLIENT_DONE, TcpState.FIN_WAIT, Status.SEEN_REPLY | Status.ASSURED),
        (OPEN | BACKEND_DONE, TcpState.FIN_WAIT, Status.SEEN_REPLY | Status.ASSURED),
        (OPEN | CLIENT_DONE | BACKEND_DONE, TcpState.TIME_WAIT, Status.SEEN_REPLY | Status.ASSURED),
        (OPEN | lib.TRACKING_RESET, TcpState.CLOSE, Status.SEEN_REPLY | Status.ASSURED),
    ],
    ids=["asked", "answered", "open", "client done", "backend done", "both done", "reset"],
)
def test_a_connection_is_as_far_as_it_had_come(
    machine: Namespace, events: int, state: TcpState, status: Status
) -> None:
    handed_over(machine, flow(events=events))
    (entry,) = known(machine)
    assert entry.tcp_state is state
    assert entry.status & (Status.SEEN_REPLY | Status.ASSURED) == status


def test_windows_are_not_minded_as_the_kernel_has_not_seen_them(machine: Namespace) -> None:
    handed_over(machine, flow())
    (entry,) = known(machine)
    assert entry.is_liberal


def test_what_the_kernel_remembers_from_before_is_replaced(machine: Namespace) -> None:
    handed_over(machine, flow(events=OPEN | CLIENT_DONE, milliseconds=7_000))
    assert handed_over(machine, flow()) == (1, "")
    (entry,) = known(machine)
    assert (entry.tcp_state, entry.seconds > 50) == (TcpState.ESTABLISHED, True)


def test_two_that_a_backend_could_not_tell_apart_are_one_and_a_line_that_says_so(machine: Namespace) -> None:
    other = flow(client=Endpoint("10.244.1.99", 41000), seen_as=flow().seen_as, masquerade=True)
    kept, refused = handed_over(machine, flow(), other)
    assert kept == 1
    assert refused.startswith("1 of 2 were refused, the first: TCP 10.244.1.99:41000 → 10.96.0.10:80: File exists")


def test_only_flows_that_may_go_on_do(machine: Namespace, node: Node) -> None:
    names = NAMES[Family.IPV4]
    ended = {"can_end": True, "backend": Endpoint("10.244.9.9", 8053)}
    dns = {"protocol": Protocol.UDP, "service": Endpoint(names.dns, 53), "events": ANSWERED}
    gone = {"service": Endpoint(names.dns, 54), "can_end": True}
    of_nobody_any_more = flow(backend=Endpoint("10.244.9.9", 8080))
    wanted = (flow(**(dns | ended)), flow(**(dns | gone)), of_nobody_any_more)
    assert handed_over(machine, *wanted, table=node.engine.table) == (1, "")
    assert not known(machine, protocol=Protocol.UDP)
    assert [entry.reply.source for entry in known(machine)] == [of_nobody_any_more.backend]


def test_flows_of_udp_stay_what_they_are(machine: Namespace) -> None:
    answered = flow(protocol=Protocol.UDP, events=ANSWERED)
    asked = flow(protocol=Protocol.UDP, events=0, client=Endpoint("10.244.1.10", 40001))
    assert handed_over(machine, answered, msgspec.structs.replace(asked, seen_as=asked.client)) == (2, "")
    found = {entry.original.source.port: entry.status for entry in known(machine, protocol=Protocol.UDP)}
    assert Status.ASSURED in found[40000]
    assert Status.SEEN_REPLY not in found[40001]


def test_sctp_ends_as_nobody_remembers_its_tags(machine: Namespace) -> None:
    assert handed_over(machine, flow(protocol=Protocol.SCTP)) == (0, "")
