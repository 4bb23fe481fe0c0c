"""Ten things that are true of any history of an engine, one property each; docs/nat-requirements.md lists them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from any_table import HOST, SMALL, some_table
from cluster import (
    CLUSTER_IP,
    HOST_ADDRESSES,
    address,
    compiled,
    draining,
    piece,
    port,
    service,
    state,
    stopped,
    unready,
)
from dataplane.reference import Outcome, Packet
from dataplane.table import Endpoint, Forward, ForwardingTable, Frontend, Pick, Protocol, Reject, Verdict
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import LINUX_TIMEOUTS, Limits, Timeouts
from dataplane.userspace.result import Reason
from dataplane.userspace.saved import SavedFlow, from_json, to_json
from history import Sent, Steps, World, forwarded, mirrored, read_back, steps
from requirement import requirement
from wire import read, with_right_checksums, written

FOR_EVER = Timeouts(*[1e12] * 5)

history_property = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[phase for phase in Phase if phase is not Phase.explain],  # which takes minutes for a history
)


@contextmanager
def world(
    limits: Limits = SMALL, timeouts: Timeouts = FOR_EVER, pick: Pick = Pick.RANDOM, first_port: int = 40000
) -> Iterator[World]:
    with Engine(HOST, limits=limits, timeouts=timeouts, pick=pick, seed=7) as engine:
        yield World(engine, first_port)


@requirement("invariant 1")
@history_property
@given(steps)
def test_invariant_1_what_is_translated_there_and_back_is_the_same_bytes(history: Steps) -> None:
    with world() as here:
        for sent in forwarded(here.play(history)):
            if not sent.result.new or not any(read_back(sent.data) == one.packet for one in here.opened):
                continue
            there = here.engine.send(sent.data, here.now, sent.packet.interface)
            if there.outcome is not Outcome.FORWARD:
                continue  # the table has put an end to it
            back = here.engine.send(answer_to(there.data), here.now, None)
            assert back.reply
            assert answer_to(back.data) == sent.data


def answer_to(data: bytes) -> bytes:
    """Mirrored. The Internet checksum does not notice; the CRC of SCTP does."""
    answer = mirrored(data)
    return with_right_checksums(answer) if read_back(data).protocol is Protocol.SCTP else answer


@requirement("invariant 2")
@history_property
@given(steps)
def test_invariant_2_checksums_that_follow_are_as_if_computed_anew(history: Steps) -> None:
    with world() as here:
        for sent in forwarded(here.play(history)):
            assert sent.result.data == with_right_checksums(sent.result.data)


@requirement("invariant 3")
@history_property
@given(steps)
def test_invariant_3_no_change_of_services_moves_a_flow_that_lives(history: Steps) -> None:
    with world() as here:
        leaves: dict[object, Packet] = {}
        for sent in forwarded(here.play(history)):
            tuple_in = (sent.packet.source, sent.packet.destination, sent.packet.protocol)
            if sent.result.new:
                leaves[tuple_in] = sent.left
                came_back = sent.left.reply
                leaves[came_back.source, came_back.destination, came_back.protocol] = read_back(sent.data).reply
            assert sent.left == leaves[tuple_in]


READY, DRAINING, STOPPED, UNREADY, GONE = "ready", "draining", "stopped", "unready", "gone"
BACKENDS = ("b1", "b2", "b3", "b4")
conditions = st.tuples(*[st.sampled_from((READY, DRAINING, STOPPED, UNREADY, GONE))] * len(BACKENDS))


def some_service(of: dict[str, str], policy: str) -> ForwardingTable:
    """A Service of one TCP and one UDP port, whose endpoints are in these conditions."""
    made = {DRAINING: draining, STOPPED: stopped, UNREADY: unready}
    endpoints = [made[how](name) if how in made else name for name, how in of.items() if how != GONE]
    ports = (port(80, "web"), port(53, "dns", "UDP"))
    return compiled(
        service("web", *ports, internal_traffic_policy=policy),
        piece("web", *endpoints, ports=(("web", 8080), ("dns", 8053, "UDP"))),
    )


@requirement("invariant 4")
@history_property
@given(st.lists(conditions, min_size=1, max_size=5), st.sampled_from(("Cluster", "Local")))
def test_invariant_4_nothing_goes_to_an_endpoint_that_does_not_serve(
    changes: list[tuple[str, ...]], policy: str
) -> None:
    names = {address(name): name for name in BACKENDS}
    with Engine(Host(HOST_ADDRESSES, state().egress), limits=SMALL, timeouts=FOR_EVER, seed=7) as engine:
        here = World(engine)
        opened: list[Sent] = []
        for change in changes:
            now = dict(zip(BACKENDS, change, strict=True))
            engine.apply(some_service(now, policy))
            within = BACKENDS if policy == "Cluster" else BACKENDS[:2]
            may = [n for n in within if now[n] == READY] or [n for n in within if now[n] == DRAINING]
            for sent in forwarded(here.again(one) for one in opened if one.packet.protocol is Protocol.UDP):
                assert now[names[sent.left.destination.address]] in (READY, DRAINING)
            for number in range(8):
                protocol = (Protocol.TCP, Protocol.UDP)[number % 2]
                source = Endpoint(address("c1"), 40000 + len(opened) * 16 + number)
                to = Endpoint(CLUSTER_IP, 80 if protocol is Protocol.TCP else 53)
                sent = here.send(Packet(source, to, protocol, "veth1"), "connect", "S")
                assert (sent.result.outcome is Outcome.FORWARD) == bool(may)
                if may:
                    assert names[sent.left.destination.address] in may
                    opened.append(sent)


@requirement("invariant 5")
@history_property
@given(steps)
def test_invariant_5_no_udp_flow_points_to_who_no_longer_serves_it(history: Steps) -> None:
    with world() as here:
        here.play(history)
        table = here.engine.table
        here.engine.apply(without_udp_endpoints(table))
        assert [flow for flow in here.engine.flows() if flow.protocol is Protocol.UDP] == []
        kept = [flow for flow in here.engine.flows() if flow.protocol is Protocol.TCP]
        here.engine.apply(table)
        assert [flow for flow in here.engine.flows() if flow.protocol is Protocol.TCP] == kept


def without_udp_endpoints(table: ForwardingTable) -> ForwardingTable:
    """The last endpoint of every UDP Service has gone."""

    def emptied(frontend: Frontend) -> Frontend:
        if frontend.key.protocol is not Protocol.UDP:
            return frontend
        return Frontend(frontend.key, frontend.service, Reject(), Reject(), Reject(), None, frozenset())

    return replace(table, frontends={key: emptied(frontend) for key, frontend in table.frontends.items()})


class Crowded(World):
    """Room for two flows, so that at each packet of a new one somebody may have to go."""

    def send(self, packet: Packet, kind: str, signals: str, payload: bytes = b"hello") -> Sent:
        passed = (self.now - self.engine.now) * 1000
        before = [flow for flow in self.engine.save().flows if flow.milliseconds > passed]
        sent = super().send(packet, kind, signals, payload)
        full = len(before) == CROWDED.flows and all(map(is_assured, before))
        assert not (full and sent.result.new), "nobody whom both ends want is given up"
        assert full or sent.result.reason is not Reason.FLOWS_FULL, "nobody is refused while there is room to make"
        after = {str(flow.client) for flow in self.engine.save().flows}
        gone = [flow for flow in before if str(flow.client) not in after]
        assert not any(map(is_assured, gone))
        assert len(gone) <= sent.result.new
        return sent


CROWDED = replace(SMALL, flows=2)


@requirement("invariant 6")
@history_property
@given(steps)
def test_invariant_6_no_more_flows_than_fit_and_who_has_to_go_is_as_stated(history: Steps) -> None:
    with Engine(HOST, limits=CROWDED, timeouts=LINUX_TIMEOUTS, seed=7) as engine:
        here = Crowded(engine)
        here.play(history)
        check_counters(here, CROWDED)


def is_assured(flow: SavedFlow) -> bool:
    """Both ends are known to want it: TRACKING_REPLIED, or TRACKING_ACKNOWLEDGED."""
    return bool(flow.events & (1 if flow.protocol is Protocol.UDP else 2))


def check_counters(here: World, limits: Limits) -> None:
    counters = here.engine.counters
    flows = counters.flows
    assert flows["used"] <= limits.flows
    gone = ("expired", "evicted", "reopened", "settled")
    assert flows["created"] == flows["used"] + sum(flows[why] for why in gone)
    assert counters.packets == sum(counters.outcomes.values())
    assert counters.outcomes[Outcome.DROP] == sum(counters.reasons.values())


@requirement("invariant 7")
@history_property
@given(steps)
def test_invariant_7_nothing_but_addresses_ports_and_checksums_changes(history: Steps) -> None:
    with world() as here:
        for sent in here.play(history):
            after = sent.result.data
            if sent.result.outcome is Outcome.FORWARD:
                assert without_what_nat_writes(after) == without_what_nat_writes(sent.data)
            elif not sent.result.answered:
                assert after == sent.data


def without_what_nat_writes(data: bytes) -> bytes:
    """The packet, with nothing in the place of addresses, ports and checksums."""
    packet = read(data)
    ipv6, transport = packet.version == 6, 40 if packet.version == 6 else packet.ihl * 4
    checksum = {6: (16, 18), 17: (6, 8), 132: (8, 12)}[packet.nh if ipv6 else packet.proto]
    ip = [(8, 40)] if ipv6 else [(10, 20)]
    places = [*ip, (transport, transport + 4), (transport + checksum[0], transport + checksum[1])]
    left = bytearray(data)
    for begin, end in places:
        left[begin:end] = bytes(end - begin)
    return bytes(left)


@requirement("invariant 8")
@history_property
@given(steps, st.sampled_from(Pick))
def test_invariant_8_the_same_seed_and_history_give_the_same(history: Steps, pick: Pick) -> None:
    with world(pick=pick) as one, world(pick=pick) as other:
        assert one.play(history) == other.play(history)
        assert one.engine.save() == other.engine.save()
        assert one.engine.counters == other.engine.counters


@requirement("invariant 9")
@history_property
@given(steps)
@example([("table", 14), *[("connect", 0)] * 12, ("connect", 556), ("table", 0)])  # flows are to end only since then
@example([("table", 10), *[("connect", 0)] * 7, ("connect", 1139), ("wait", 1), ("wait", 389)])
def test_invariant_9_after_a_restart_all_goes_on_as_before(history: Steps) -> None:
    with world(timeouts=LINUX_TIMEOUTS) as before:
        before.play(history)
        with Engine(HOST, limits=SMALL, timeouts=LINUX_TIMEOUTS, seed=8) as engine:
            engine.apply(before.engine.table)
            engine.restore(from_json(to_json(before.engine.save()), "a file"), before.now)
            after = World(engine)
            after.now = before.now
            assert {*map(str, before.engine.flows())} == {*map(str, engine.flows())}
            for flow in list(engine.flows()):
                for source, to in ((flow.client, flow.service), (flow.backend, flow.seen_as)):
                    packet = Packet(source, to, flow.protocol)
                    there, here = (each.send(packet, "go on", "A").result for each in (before, after))
                    assert there.outcome is Outcome.FORWARD
                    assert (there.data, there.reply, there.new) == (here.data, here.reply, here.new)
            agree_about_clients(before, after)


def agree_about_clients(before: World, after: World) -> None:
    """Clients come back with new connections: who was remembered is, at the same backend, and nobody else is."""
    for number, opened in enumerate(before.opened):
        source = Endpoint(opened.packet.source.address, 30000 + number)
        packet = replace(opened.packet, source=source)
        there, here = (each.send(packet, "connect", "S").result for each in (before, after))
        assert there.remembered == here.remembered
        if not there.remembered:
            return  # from here on chance is another's
        assert there.backend == here.backend


@requirement("invariant 10")
@settings(history_property, max_examples=5)
@given(steps, st.integers(0, 2**16))
def test_invariant_10_engines_of_one_key_pick_the_same_by_maglev_whatever_they_have_seen(
    history: Steps, seed: int
) -> None:
    table = by_the_engines_own_way(some_table(seed))
    with world(pick=Pick.MAGLEV, first_port=20000) as seasoned, world(pick=Pick.MAGLEV) as fresh:
        seasoned.engine.apply(table)
        seasoned.play(step for step in history if step[0] != "table")
        fresh.engine.apply(table)
        for sent in forwarded(fresh.play(("connect", number) for number in range(20))):
            there = seasoned.engine.send(written(sent.packet), seasoned.now, sent.packet.interface)
            assert there.backend == sent.result.backend


def by_the_engines_own_way(table: ForwardingTable) -> ForwardingTable:
    """The same without affinity, and no pool that says how it is to be picked from."""

    def plain(verdict: Verdict) -> Verdict:
        if not isinstance(verdict, Forward):
            return verdict
        return replace(verdict, pool=replace(verdict.pool, affinity=None, pick=None))

    frontends = {
        key: replace(f, pod=plain(f.pod), node=plain(f.node), outside=plain(f.outside))
        for key, f in table.frontends.items()
    }
    return replace(table, frontends=frontends)
