"""What the RFCs on NAT ask for, as far as it applies: tests named after each requirement.

A Service translates destinations, and sources only when it masquerades. Requirements on how ports are mapped bind the
masquerading alone; those on timers, ICMP, fragments and hairpins bind everything.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPerror
from scapy.packet import Raw

from dataplane.reference import Outcome
from dataplane.table import Backend, Forward, Frontend, FrontendKey, Pool, Protocol
from dataplane.userspace.flows import Phase
from dataplane.userspace.limits import RFC_TIMEOUTS
from dataplane.userspace.result import Reason, Result
from requirement import requirement
from small_node import Names, Node
from wire import read

MINUTE = 60.0
HOUR = 60 * MINUTE


def connect(node: Node, names: Names, port: int = 40000, source: str | None = None) -> Result:
    """A TCP connection from a pod (or whom else) to the web Service, established."""
    client = source or names.pod
    syn = node.send(client, port, names.service, 80)
    reply(node, syn, "SA")
    node.send(client, port, names.service, 80, signals="A")
    return syn


def reply(node: Node, sent: Result, signals: str = "A", payload: bytes = b"") -> Result:
    """What the backend answers to a TCP packet that reached it."""
    packet = read(sent.data)
    return node.send(packet.dst, packet[TCP].dport, packet.src, packet[TCP].sport, signals=signals, payload=payload)


def phase(node: Node) -> Phase:
    (flow,) = node.engine.flows()
    return flow.phase


def still_known(node: Node, sent: Result) -> bool:
    return reply(node, sent).outcome is Outcome.FORWARD


# RFC 4787: UDP


@requirement("RFC 4787 REQ-2", kept="one for each family")
@requirement("RFC 4787 REQ-3")
def test_rfc4787_req3_two_flows_never_share_a_port(node: Node, names: Names) -> None:
    seen = set()
    for client in (names.outside, names.router, names.elsewhere):
        sent = read(node.send(client, 40000, names.service, 53, Protocol.UDP).data)
        assert sent.src == names.node
        seen.add(sent.sport)
    assert len(seen) == 3


@requirement("RFC 4787 REQ-3")
def test_rfc4787_req3_the_clients_own_port_is_kept_if_it_is_free(node: Node, names: Names) -> None:
    assert read(node.send(names.outside, 40000, names.service, 53, Protocol.UDP).data).sport == 40000


@requirement("RFC 4787 REQ-5")
def test_rfc4787_req5_udp_is_remembered_for_five_minutes(node: Node, names: Names) -> None:
    node.send(names.pod, 40000, names.service, 53, Protocol.UDP)
    node.now = 5 * MINUTE - 1
    assert node.send(names.dns, 8053, names.pod, 40000, Protocol.UDP).reply
    node.now += 5 * MINUTE
    assert not node.send(names.dns, 8053, names.pod, 40000, Protocol.UDP).reply


@requirement("RFC 4787 REQ-6")
def test_rfc4787_req6_what_the_client_sends_keeps_the_flow(node: Node, names: Names) -> None:
    for _ in range(4):
        node.send(names.pod, 40000, names.service, 53, Protocol.UDP)
        node.now += 4 * MINUTE
    assert node.engine.counters.flows["created"] == 1


@requirement("RFC 4787 REQ-8")
def test_rfc4787_req8_nobody_but_the_backend_reaches_a_client_by_its_flow(node: Node, names: Names) -> None:
    sent = read(node.send(names.outside, 40000, names.service, 53, Protocol.UDP).data)
    stranger = node.send(names.router, 8053, sent.src, sent.sport, Protocol.UDP)
    other_port = node.send(names.dns, 8054, sent.src, sent.sport, Protocol.UDP)
    assert (stranger.reply, other_port.reply) == (False, False)
    assert node.send(names.dns, 8053, sent.src, sent.sport, Protocol.UDP).reply


@requirement("RFC 4787 REQ-9")
def test_rfc4787_req9_a_pod_reaches_itself_through_its_service(node: Node, names: Names) -> None:
    table = node.engine.table
    key = FrontendKey(names.service, Protocol.UDP, 53)
    forward = Forward(Pool((Backend(names.here, 8053, True),)), False)
    served = Frontend(key, "default/dns:dns", forward, forward, forward)
    node.engine.apply(replace(table, frontends={**table.frontends, key: served}))
    result = node.send(names.here, 40000, names.service, 53, Protocol.UDP)
    packet = read(result.data)
    assert (result.hairpin, packet.src, packet.dst) == (True, names.node, names.here)
    answer = read(node.send(names.here, 8053, packet.src, packet.sport, Protocol.UDP).data)
    assert (answer.src, answer.dst, answer.dport) == (names.service, names.here, 40000)


@requirement("RFC 4787 REQ-10")
def test_rfc4787_req10_addresses_in_the_payload_stay_as_they_are(node: Node, names: Names) -> None:
    about = f"INVITE sip:user@{names.service} SIP/2.0\r\nContact: <sip:user@{names.outside}:40000>".encode()
    for client in (names.pod, names.outside):
        sent = node.send(client, 40000, names.service, 53, Protocol.UDP, payload=about)
        assert sent.outcome is Outcome.FORWARD
        assert sent.data.endswith(about)


@requirement("RFC 4787 REQ-11")
def test_rfc4787_req11_the_same_seed_and_packets_give_the_same_run(node: Node, twin: Node, names: Names) -> None:
    for port in range(40000, 40050):
        assert connect(node, names, port).data == connect(twin, names, port).data


@requirement("RFC 4787 REQ-12")
def test_rfc4787_req12_an_icmp_message_does_not_end_a_flow(node: Node) -> None:
    sent = node.send("10.244.1.10", 40000, "10.96.0.10", 53, Protocol.UDP)
    error = IP(src="198.18.0.1", dst="10.244.1.10") / ICMP(type=3, code=3) / Raw(sent.data)
    assert node.raw(bytes(error)).outcome is Outcome.FORWARD
    assert node.send("10.244.2.24", 8053, "10.244.1.10", 40000, Protocol.UDP).reply


@requirement("RFC 4787 REQ-13")
def test_rfc4787_req13_fragmentation_needed_reaches_the_client(node: Node) -> None:
    sent = node.send("10.244.1.10", 40000, "10.96.0.10", 80)
    error = IP(src="198.18.0.1", dst="10.244.1.10") / ICMP(type=3, code=4, nexthopmtu=1400) / Raw(sent.data)
    told = read(node.raw(bytes(error)).data)
    assert (told.dst, told[ICMP].nexthopmtu) == ("10.244.1.10", 1400)


# RFC 5382: TCP


@requirement("RFC 5382 REQ-2")
def test_rfc5382_req2_both_ends_may_open_at_once(node: Node, names: Names) -> None:
    syn = node.send(names.pod, 40000, names.service, 80, signals="S")
    assert reply(node, syn, "S").outcome is Outcome.FORWARD
    node.send(names.pod, 40000, names.service, 80, signals="SA")
    reply(node, syn, "SA")
    node.send(names.pod, 40000, names.service, 80, signals="A")
    assert phase(node) is Phase.ESTABLISHED


@requirement("RFC 5382 REQ-3")
def test_rfc5382_req3_nobody_but_the_backend_reaches_a_client_by_its_connection(node: Node, names: Names) -> None:
    sent = connect(node, names, source=names.outside)
    packet = read(sent.data)
    own, port = packet[TCP].dport, packet[TCP].sport
    stranger = node.send(names.router, own, packet.src, port, signals="A")
    other_port = node.send(packet.dst, own + 1, packet.src, port, signals="A")
    assert (stranger.reply, other_port.reply) == (False, False)
    assert reply(node, sent).reply


@requirement("RFC 5382 REQ-5")
def test_rfc5382_req5_an_established_connection_is_remembered_for_two_hours_and_four_minutes(
    node: Node, names: Names
) -> None:
    assert RFC_TIMEOUTS.established >= 2 * HOUR + 4 * MINUTE
    sent = connect(node, names)
    node.now = 2 * HOUR + 4 * MINUTE - 1
    assert still_known(node, sent)
    node.now += 2 * HOUR + 4 * MINUTE
    assert not still_known(node, sent)


@pytest.mark.parametrize("closing", [False, True])
@requirement("RFC 5382 REQ-5")
def test_rfc5382_req5_one_that_opens_or_closes_is_remembered_for_four_minutes(
    node: Node, names: Names, closing: bool
) -> None:
    sent = connect(node, names) if closing else node.send(names.pod, 40000, names.service, 80)
    if closing:
        node.send(names.pod, 40000, names.service, 80, signals="FA")
    node.now = 4 * MINUTE - 1
    assert node.send(names.pod, 40000, names.service, 80, signals="A").outcome is Outcome.FORWARD
    node.now += 4 * MINUTE
    assert not still_known(node, sent)


@requirement("RFC 5382 REQ-6")
def test_rfc5382_req6_addresses_in_the_payload_stay_as_they_are(node: Node, names: Names) -> None:
    connect(node, names, source=names.outside)
    about = f"PORT {names.outside.replace('.', ',')},156,64\r\n".encode()
    sent = node.send(names.outside, 40000, names.service, 80, signals="PA", payload=about)
    assert sent.outcome is Outcome.FORWARD
    assert sent.data.endswith(about)


@requirement("RFC 5382 REQ-7")
def test_rfc5382_req7_two_connections_never_share_a_port(node: Node, names: Names) -> None:
    clients = (names.outside, names.router)
    seen = {(p.dst, p.sport) for client in clients for p in [read(connect(node, names, 40000, client).data)]}
    assert len(seen) == 2


@requirement("RFC 5382 REQ-8")
def test_rfc5382_req8_a_pod_reaches_itself_through_its_service(node: Node, names: Names) -> None:
    results = [node.send(names.here, port, names.service, 80) for port in range(40000, 40020)]
    to_itself = [r for r in results if r.hairpin]
    assert to_itself
    for result in to_itself:
        packet = read(result.data)
        assert (packet.src, packet.dst) == (names.node, names.here)
        assert read(reply(node, result, "SA").data).src == names.service


@requirement("RFC 5382 REQ-10")
def test_rfc5382_req10_an_icmp_message_does_not_end_a_connection(node: Node) -> None:
    sent = node.send("10.244.1.10", 40000, "10.96.0.10", 80)
    error = IP(src="198.18.0.1", dst="10.244.1.10") / ICMP(type=3, code=3) / Raw(sent.data)
    before = node.engine.counters.flows
    assert node.raw(bytes(error)).outcome is Outcome.FORWARD
    assert node.engine.counters.flows == before
    assert still_known(node, sent)


# RFC 5508: ICMP


@requirement("RFC 5508 REQ-6")
def test_rfc5508_req6_an_error_does_not_keep_a_flow_alive(node: Node) -> None:
    sent = node.send("10.244.1.10", 40000, "10.96.0.10", 53, Protocol.UDP)
    node.now = 4 * MINUTE
    error = IP(src="198.18.0.1", dst="10.244.1.10") / ICMP(type=3, code=1) / Raw(sent.data)
    assert node.raw(bytes(error)).outcome is Outcome.FORWARD
    node.now = 5 * MINUTE
    assert node.raw(bytes(error)).outcome is Outcome.PASS


@requirement("RFC 5508 REQ-7")
def test_rfc5508_req7_an_error_about_a_hairpin_connection_is_translated(node: Node) -> None:
    results = (node.send("10.244.1.21", port, "10.96.0.10", 80) for port in range(40000, 40020))
    to_itself = next(r for r in results if r.hairpin)
    error = IP(src="10.244.1.21", dst="192.0.2.1") / ICMP(type=3, code=4, nexthopmtu=1400) / Raw(to_itself.data)
    told = read(node.raw(bytes(error)).data)
    assert (told.src, told.dst) == ("10.96.0.10", "10.244.1.21")
    assert (told[IPerror].src, told[IPerror].dst) == ("10.244.1.21", "10.96.0.10")


# RFC 7857: updates


@requirement("RFC 7857 2.2")
def test_rfc7857_2_2_a_connection_is_remembered_for_four_minutes_after_a_reset(node: Node, names: Names) -> None:
    sent = connect(node, names)
    node.send(names.pod, 40000, names.service, 80, signals="R")
    assert phase(node) is Phase.CLOSING
    node.now = 4 * MINUTE - 1
    assert reply(node, sent, "R").outcome is Outcome.FORWARD
    node.now += 4 * MINUTE
    assert not still_known(node, sent)


@requirement("RFC 7857 2.2")
def test_rfc7857_2_2_data_after_a_forged_reset_takes_the_connection_back(node: Node, names: Names) -> None:
    sent = connect(node, names)
    node.send(names.pod, 40000, names.service, 80, signals="R")
    reply(node, sent, "A", b"data")
    assert phase(node) is Phase.ESTABLISHED


# What no RFC asks for, and every Service needs


def test_a_packet_that_opens_nothing_is_never_translated(node: Node, names: Names) -> None:
    for signals in ("A", "SA", "FA", "R", "PA"):
        result = node.send(names.pod, 40000, names.service, 80, signals=signals)
        assert (result.outcome, result.reason) == (Outcome.DROP, Reason.NOT_OPENING)


def test_a_port_that_is_used_again_opens_a_new_connection(node: Node, names: Names) -> None:
    backends = set()
    for _ in range(20):
        sent = connect(node, names)
        assert sent.new
        backends.add(sent.backend)
        node.send(names.pod, 40000, names.service, 80, signals="FA")
        reply(node, sent, "FA")
    assert len(backends) == 2
    assert node.engine.counters.flows["reopened"] == 19


def test_without_masquerading_too_a_port_that_is_taken_is_replaced(node: Node, names: Names) -> None:
    """The same client and port, to the same backend through two frontends: answers must find the right one."""
    first = node.send(names.node, 40000, names.service, 80)
    second = node.send(names.node, 40000, names.node, 30080)
    replies = [reply(node, sent, "SA") for sent in (first, second)]
    assert [read(r.data).src for r in replies] == [names.service, names.node]
