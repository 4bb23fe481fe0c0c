"""The executable specification: what happens to one packet, and why."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import (
    ADDRESSES,
    CLUSTER_IP,
    CLUSTER_IP6,
    SCTP,
    UDP,
    VIP,
    compiled,
    dual_stack,
    endpoint,
    piece,
    port,
    service,
    state,
    view,
)
from dataplane.reference import (
    Choose,
    Decision,
    Outcome,
    Packet,
    State,
    answers_node_ports,
    decide,
    find_frontend,
)
from dataplane.steps import Rule
from dataplane.table import (
    Backend,
    Client,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pick,
    Pool,
    Protocol,
)
from flows import ask, every_decision, packet
from strategies import tables

N1 = ADDRESSES["n1"][0]
NODE_PORT = 30080
FOUR = piece("web", "b1", "b2", "b3", "b4")
DNS = port(53, "dns", UDP)


def first(n: int) -> int:
    return 0


def last(n: int) -> int:
    return n - 1


class TestForwarding:
    TABLE = compiled(service(), FOUR)

    def test_the_destination_becomes_the_backend_s(self) -> None:
        sent = packet("c1", CLUSTER_IP, 80)
        decision = decide(self.TABLE, sent, state(), last)
        assert decision.packet == Packet(sent.source, Endpoint(ADDRESSES["b4"][0], 8080), Protocol.TCP, sent.interface)

    def test_chance_decides_between_backends(self) -> None:
        decisions = every_decision(self.TABLE, packet("c1", CLUSTER_IP, 80), state())
        assert [d.packet.destination.address for d in decisions] == [ADDRESSES[b][0] for b in ("b1", "b2", "b3", "b4")]
        assert {d.probability for d in decisions} == {Fraction(1, 4)}

    def test_a_weight_makes_a_backend_more_likely_and_is_told(self) -> None:
        light, heavy = Backend("10.244.1.1", 80, False, 10), Backend("10.244.1.2", 80, False, 90)
        forward = Forward(Pool((light, heavy), pick=Pick.ROUND_ROBIN), False)
        key = FrontendKey(CLUSTER_IP, Protocol.TCP, 80)
        table = ForwardingTable({key: Frontend(key, "default/web", forward, forward, forward)})
        decisions = every_decision(table, packet("c1", CLUSTER_IP, 80), state())
        assert [(d.backend, d.probability) for d in decisions] == [(light, Fraction(1, 10))] + [
            (heavy, Fraction(9, 10))
        ] * 9
        (step,) = [step for step in decisions[1].steps if step.rule is Rule.PICK]
        assert step.looked_at == "10.244.1.1:80 (weight 10), 10.244.1.2:80 (weight 90)"
        assert step.answer == "10.244.1.2:80, picked in turn: 9 in 10 by weight."

    def test_chance_is_not_asked_where_there_is_no_choice(self) -> None:
        def never(n: int) -> int:
            raise AssertionError("there is only one backend")

        decision = decide(compiled(service(), piece("web", "b1")), packet("c1", CLUSTER_IP, 80), state(), never)
        assert decision.probability == 1

    def test_a_masqueraded_packet_leaves_as_this_node(self) -> None:
        sent = packet("x1", CLUSTER_IP, 80)
        decision = decide(self.TABLE, sent, state(), first)
        assert decision.masquerade
        assert decision.packet.source == Endpoint(N1, sent.source.port)

    def test_what_is_not_served_leaves_as_it_came(self) -> None:
        sent = packet("c1", "203.0.113.9", 80)
        decision = decide(self.TABLE, sent, state(), first)
        assert (decision.outcome, decision.packet) == (Outcome.PASS, sent)

    def test_protocols_do_not_mix(self) -> None:
        assert ask(self.TABLE, "c1", CLUSTER_IP, 80, SCTP).rejected


class TestTheWayBack:
    TABLE = compiled(service(), FOUR)

    def test_an_answer_comes_from_the_address_that_was_asked(self) -> None:
        sent = packet("c1", CLUSTER_IP, 80)
        there = decide(self.TABLE, sent, state(), first)
        back = decide(self.TABLE, there.packet.reply, state().after(sent, there), first)
        assert (back.packet.source, back.packet.destination) == (sent.destination, sent.source)

    def test_an_answer_to_a_masqueraded_client_finds_the_client(self) -> None:
        sent = packet("x1", CLUSTER_IP, 80)
        there = decide(self.TABLE, sent, state(), first)
        assert there.packet.reply.destination.address == N1
        back = decide(self.TABLE, there.packet.reply, state().after(sent, there), first)
        assert (back.packet.source, back.packet.destination) == (sent.destination, sent.source)

    def test_an_answer_that_nobody_asked_for_is_none_of_our_business(self) -> None:
        stray = packet("b1", ADDRESSES["c1"][0], 40000)
        assert decide(self.TABLE, stray, state(), first).outcome is Outcome.PASS


class TestKnownConnections:
    BEFORE = compiled(service("web"), FOUR)

    def known(self, sent: Packet) -> tuple[Decision, State]:
        decision = decide(self.BEFORE, sent, state(), first)
        return decision, state().after(sent, decision)

    @pytest.mark.parametrize(
        "after",
        [
            compiled(service(), piece("web", "b4")),
            compiled(service()),
            compiled(service("web", port(81)), FOUR),
            ForwardingTable(),
        ],
        ids=["other endpoints", "no endpoints", "other port", "no service"],
    )
    def test_a_tcp_connection_goes_on_whatever_happens_to_its_service(self, after: ForwardingTable) -> None:
        sent = packet("c1", CLUSTER_IP, 80)
        decision, memory = self.known(sent)
        assert decide(after, sent, memory.settled(after), last).packet == decision.packet

    def test_it_is_neither_asked_who_it_is_nor_limited_again(self) -> None:
        sent = packet("x1", VIP, 80)
        open_to_all = compiled(service(vips=[VIP]), FOUR)
        memory = state().after(sent, decide(open_to_all, sent, state(), first))
        limited = compiled(service(vips=[VIP], load_balancer_source_ranges=("203.0.113.0/24",)), FOUR)
        decision = decide(limited, sent, memory.settled(limited), first)
        assert decision.outcome is Outcome.FORWARD
        assert [step.rule for step in decision.steps] == [Rule.FLOW]

    def test_the_same_source_port_to_another_destination_is_another_connection(self) -> None:
        sent = packet("c1", CLUSTER_IP, 80, source_port=1234)
        _, memory = self.known(sent)
        other = packet("c1", CLUSTER_IP, 81, source_port=1234)
        assert decide(self.BEFORE, other, memory, first).outcome is Outcome.REJECT

    @pytest.mark.parametrize(
        "table", [compiled(service()), compiled(service(internal_traffic_policy="Local"), piece("web", "b3"))]
    )
    def test_a_refused_packet_makes_no_connection(self, table: ForwardingTable) -> None:
        sent = packet("c1", CLUSTER_IP, 80)
        assert state().after(sent, decide(table, sent, state(), first)) == state()

    def test_remembering_does_not_change_what_was_known_before(self) -> None:
        before = state()
        sent = packet("c1", CLUSTER_IP, 80)
        before.after(sent, decide(self.BEFORE, sent, before, first))
        assert before == state()


class TestUDPFlows:
    def dns(self, *endpoints: str, number: int = 5353, **spec: Any) -> ForwardingTable:
        return compiled(service("web", DNS, **spec), piece("web", *endpoints, ports=[("dns", number, UDP)]))

    def flow(self, table: ForwardingTable, dst: str = CLUSTER_IP, number: int = 53) -> tuple[Packet, State]:
        sent = packet("c1", dst, number, UDP)
        return sent, state().after(sent, decide(table, sent, state(), first))

    def test_a_flow_goes_on_while_its_endpoint_serves(self) -> None:
        sent, memory = self.flow(self.dns("b1"))
        after = self.dns("b1", "b2", "b3")
        assert decide(after, sent, memory.settled(after), last).packet.destination.address == ADDRESSES["b1"][0]

    def test_a_flow_goes_on_to_an_endpoint_that_terminates_and_still_serves(self) -> None:
        sent, memory = self.flow(self.dns("b1"))
        going = endpoint("b1", ready=False, serving=True, terminating=True)
        after = compiled(service("web", DNS), piece("web", going, "b3", ports=[("dns", 5353, UDP)]))
        assert decide(after, sent, memory.settled(after), first).packet.destination.address == ADDRESSES["b1"][0]

    def test_a_flow_moves_when_its_endpoint_is_gone(self) -> None:
        sent, memory = self.flow(self.dns("b1"))
        after = self.dns("b3")
        assert decide(after, sent, memory.settled(after), first).packet.destination.address == ADDRESSES["b3"][0]

    def test_a_flow_moves_when_its_endpoint_s_port_changed(self) -> None:
        sent, memory = self.flow(self.dns("b1"))
        after = self.dns("b1", number=53)
        assert decide(after, sent, memory.settled(after), first).packet.destination.port == 53

    def test_a_flow_is_forgotten_when_the_service_has_no_endpoints_left(self) -> None:
        sent, memory = self.flow(self.dns("b1"))
        after = self.dns()
        assert decide(after, sent, memory.settled(after), first).outcome is Outcome.REJECT

    def test_a_flow_is_forgotten_when_its_service_is_gone(self) -> None:
        _, memory = self.flow(self.dns("b1"))
        assert not memory.settled(ForwardingTable()).flows

    def test_a_flow_through_a_node_port_is_forgotten_when_the_node_port_changes(self) -> None:
        def through(node_port: int) -> ForwardingTable:
            of = service("web", port(53, "dns", UDP, node_port=node_port))
            return compiled(of, piece("web", "b1", ports=[("dns", 5353, UDP)]))

        _, memory = self.flow(through(30053), N1, 30053)
        assert memory.settled(through(30053)).flows
        assert not memory.settled(through(30054)).flows

    def test_both_directions_are_forgotten_together(self) -> None:
        _, memory = self.flow(self.dns("b1"))
        assert len(memory.flows) == 2
        assert not memory.settled(self.dns("b3")).flows


class TestWhoIsAsking:
    OF = service("web", port(node_port=NODE_PORT))

    @pytest.mark.parametrize(
        ("who", "client"),
        [
            ("c1", Client.POD),
            ("b3", Client.POD),
            ("n1", Client.NODE),
            ("127.0.0.1", Client.NODE),
            ("n2", Client.OUTSIDE),
            ("x1", Client.OUTSIDE),
        ],
    )
    def test_every_source_is_one_of_three_clients(self, who: str, client: Client) -> None:
        assert {d.client for d in ask(compiled(self.OF, FOUR), who, CLUSTER_IP, 80).decisions} == {client}

    def test_a_pod_stays_a_pod_where_its_address_is_the_host_s_too(self) -> None:
        known = state(host_addresses=frozenset({ADDRESSES["c1"][0]}))
        assert ask(compiled(self.OF, FOUR), "c1", CLUSTER_IP, 80, known=known).decisions[0].client is Client.POD


class TestNodePorts:
    TABLE = compiled(service("web", port(node_port=NODE_PORT)), FOUR)
    EVERYWHERE = compiled(
        service("web", port(node_port=NODE_PORT)), FOUR, node=view(node_port_addresses=["0.0.0.0", "::"])
    )

    def answers(self, table: ForwardingTable, address: str) -> bool:
        return answers_node_ports(table, address, state().host_addresses)

    def test_they_answer_on_the_listed_addresses(self) -> None:
        assert self.answers(self.TABLE, N1)
        assert not self.answers(self.TABLE, "192.0.2.101")

    def test_everywhere_means_every_address_of_this_host_but_loopback(self) -> None:
        assert self.answers(self.EVERYWHERE, N1)
        assert not self.answers(self.EVERYWHERE, "127.0.0.1")
        assert not self.answers(self.EVERYWHERE, "::1")
        assert not self.answers(self.EVERYWHERE, ADDRESSES["n2"][0])

    @pytest.mark.parametrize("nobody", ["0.0.0.0", "::"])
    def test_nobody_reaches_them_at_the_address_that_stands_for_them(self, nobody: str) -> None:
        found = find_frontend(self.EVERYWHERE, Endpoint(nobody, NODE_PORT), Protocol.TCP, state().host_addresses)
        assert found is None


class TestHairpin:
    def test_a_pod_that_reaches_itself_is_masqueraded(self) -> None:
        (decision,) = ask(compiled(service(), piece("web", "b1")), "b1", CLUSTER_IP, 80).decisions
        assert decision.masquerade
        assert decision.packet.source.address == N1
        assert Rule.HAIRPIN in {step.rule for step in decision.steps}

    def test_its_other_connections_are_not(self) -> None:
        answers = ask(compiled(service(), FOUR), "b1", CLUSTER_IP, 80)
        assert [d.masquerade for d in answers.decisions] == [True, False, False, False]

    def test_a_remote_backend_is_another_node_s_business(self) -> None:
        (decision,) = ask(compiled(service(), piece("web", "b3")), "b3", CLUSTER_IP, 80).decisions
        assert not decision.masquerade

    def test_the_short_way_to_oneself_is_masqueraded_too(self) -> None:
        of = service(vips=[VIP], external_traffic_policy="Local")
        (decision,) = ask(compiled(of, piece("web", "b1")), "b1", VIP, 80).decisions
        assert decision.masquerade


class TestBackendsOnThisHost:
    """Pods with hostNetwork: their address is this node's, so what is sent to them never leaves it."""

    TABLE = compiled(service("web", port(node_port=NODE_PORT)), piece("web", endpoint(N1), ports=[("", 9090)]))

    @pytest.mark.parametrize("destination", [(CLUSTER_IP, 80), (N1, NODE_PORT)])
    def test_they_see_their_clients_as_they_are(self, destination: tuple[str, int]) -> None:
        for client in ("c1", "x1"):
            (decision,) = ask(self.TABLE, client, *destination).decisions
            assert not decision.masquerade
            assert decision.packet.source.address == ADDRESSES[client][0]

    def test_this_node_itself_is_seen_as_this_node(self) -> None:
        (decision,) = ask(self.TABLE, "n1", CLUSTER_IP, 80).decisions
        assert decision.masquerade
        assert decision.packet.source.address == N1


class TestAffinity:
    """One client, one service port, one memory."""

    def sticky(self, *names: str, **spec: Any) -> ForwardingTable:
        of = service("web", port(node_port=NODE_PORT), session_affinity="ClientIP", vips=[VIP], **spec)
        return compiled(of, piece("web", *names))

    def connect(
        self,
        table: ForwardingTable,
        known: State,
        choose: Choose,
        *,
        client: str = "c1",
        at: tuple[str, int] = (CLUSTER_IP, 80),
    ) -> tuple[str, State]:
        sent = packet(client, *at)
        decision = decide(table, sent, known, choose)
        assert decision.backend is not None
        name = next(n for n, addresses in ADDRESSES.items() if decision.backend.address in addresses)
        return name, known.after(sent, decision)

    def test_a_client_stays_with_the_backend_that_it_has(self) -> None:
        table = self.sticky("b1", "b2", "b3")
        name, known = self.connect(table, state(), last)
        assert [name, self.connect(table, known, first)[0]] == ["b3", "b3"]

    def test_another_client_is_given_its_own(self) -> None:
        table = self.sticky("b1", "b2", "b3")
        _, known = self.connect(table, state(), last)
        assert self.connect(table, known, first, client="c2")[0] == "b1"

    @pytest.mark.parametrize("at", [(N1, NODE_PORT), (VIP, 80)])
    def test_all_entrances_share_what_they_remember(self, at: tuple[str, int]) -> None:
        table = self.sticky("b1", "b2", "b3")
        _, known = self.connect(table, state(), last)
        assert self.connect(table, known, first, at=at)[0] == "b3"

    def test_a_masqueraded_client_is_remembered_by_its_own_address(self) -> None:
        table = self.sticky("b1", "b2", "b3")
        _, known = self.connect(table, state(), last, client="x1")
        assert [address for _, address in known.affinity] == [ADDRESSES["x1"][0]]

    def test_two_ports_of_a_service_remember_apart(self) -> None:
        of = service("web", port(80, "a"), port(81, "b"), session_affinity="ClientIP")
        table = compiled(of, piece("web", "b1", "b3", ports=[("a", 8080), ("b", 8081)]))
        _, known = self.connect(table, state(), last)
        assert self.connect(table, known, first, at=(CLUSTER_IP, 81))[0] == "b1"

    def test_a_client_is_forgotten_a_while_after_its_last_new_connection(self) -> None:
        table = self.sticky("b1", "b3")
        _, known = self.connect(table, state(), last)
        assert self.connect(table, known.at(10799), first)[0] == "b3"
        assert self.connect(table, known.at(10800), first)[0] == "b1"

    def test_each_new_connection_starts_the_time_again(self) -> None:
        table = self.sticky("b1", "b3")
        _, known = self.connect(table, state(), last)
        _, known = self.connect(table, known.at(10000), first)
        assert self.connect(table, known.at(20000), first)[0] == "b3"

    def test_packets_of_an_open_connection_do_not(self) -> None:
        table = self.sticky("b1", "b3")
        sent = packet("c1", CLUSTER_IP, 80)
        known = state().after(sent, decide(table, sent, state(), last))
        known = known.at(10000)
        known = known.after(sent, decide(table, sent, known, first))
        assert self.connect(table, known.at(10800), first)[0] == "b1"

    def test_nor_do_they_take_back_what_a_later_connection_was_given(self) -> None:
        table = self.sticky("b1", "b3")
        sent = packet("c1", CLUSTER_IP, 80)
        known = state().after(sent, decide(table, sent, state(), last))
        _, known = self.connect(table, known.at(10000), first)
        known = known.after(sent, decide(table, sent, known, first))
        assert self.connect(table, known.at(20000), first)[0] == "b3"

    def test_two_ports_of_an_address_are_two_backends(self) -> None:
        of = service("web", session_affinity="ClientIP")
        slices = [piece("web", "b1", name=str(number), ports=[("", number)]) for number in (8080, 8081)]
        sent = packet("c1", CLUSTER_IP, 80)
        known = state().after(sent, decide(compiled(of, *slices), sent, state(), last))
        again = decide(compiled(of, *slices), packet("c1", CLUSTER_IP, 80), known, first)
        assert again.packet.destination.port == 8081

    def test_a_backend_outside_the_pool_does_not_count_there(self) -> None:
        """A client with a remote backend comes in where only local ones are allowed."""
        table = self.sticky("b1", "b2", "b3", external_traffic_policy="Local")
        name, known = self.connect(table, state(), last, client="x1")
        assert name == "b3"
        assert self.connect(table, known, last, client="x1", at=(VIP, 80))[0] == "b2"

    def test_a_backend_that_is_gone_is_forgotten_even_if_it_comes_back(self) -> None:
        table = self.sticky("b1", "b3")
        _, known = self.connect(table, state(), last)
        known = known.settled(self.sticky("b1")).settled(table)
        assert self.connect(table, known, first)[0] == "b1"

    def test_a_backend_that_stays_is_remembered_through_other_changes(self) -> None:
        _, known = self.connect(self.sticky("b1", "b3"), state(), last)
        table = self.sticky("b1", "b2", "b3")
        assert self.connect(table, known.settled(table), first)[0] == "b3"

    def test_switched_off_and_on_again_it_starts_anew(self) -> None:
        table = self.sticky("b1", "b3")
        _, known = self.connect(table, state(), last)
        without = compiled(service("web", port(node_port=NODE_PORT), vips=[VIP]), piece("web", "b1", "b3"))
        known = known.settled(without)
        assert self.connect(without, known, first)[0] == "b1"
        assert self.connect(table, known.settled(table), first)[0] == "b1"

    def test_the_two_families_remember_apart(self) -> None:
        of = dual_stack(session_affinity="ClientIP")
        slices = [piece("web", "b1", "b3", name="4"), piece("web", "b1", "b3", name="6", family=Family.IPV6)]
        table = compiled(of, *slices)
        _, known = self.connect(table, state(), last)
        assert self.connect(table, known, first, at=(CLUSTER_IP6, 80))[0] == "b1"

    def test_a_known_client_s_backend_is_certain(self) -> None:
        table = self.sticky("b1", "b3")
        sent = packet("c1", CLUSTER_IP, 80)
        known = state().after(sent, decide(table, sent, state(), last))
        (decision,) = every_decision(table, packet("c1", CLUSTER_IP, 80), known)
        assert decision.probability == 1


class TestTheStory:
    """The steps tell every question that was asked, in order."""

    def rules(self, table: ForwardingTable, client: str, destination: str, number: int = 80) -> list[Rule]:
        return [step.rule for step in decide(table, packet(client, destination, number), state(), first).steps]

    def test_of_a_forwarded_packet(self) -> None:
        assert self.rules(compiled(service(), FOUR), "c1", CLUSTER_IP) == [
            Rule.FRONTEND,
            Rule.CLIENT,
            Rule.VERDICT,
            Rule.PICK,
            Rule.MASQUERADE,
        ]

    def test_of_a_client_that_might_be_remembered(self) -> None:
        table = compiled(service(session_affinity="ClientIP"), FOUR)
        assert Rule.AFFINITY in self.rules(table, "c1", CLUSTER_IP)

    def test_of_a_source_that_may_not_connect(self) -> None:
        table = compiled(service(vips=[VIP], load_balancer_source_ranges=("203.0.113.0/24",)), FOUR)
        assert self.rules(table, "x1", VIP) == [Rule.FRONTEND, Rule.SOURCES]

    def test_of_a_refusal(self) -> None:
        assert self.rules(compiled(service()), "c1", CLUSTER_IP) == [Rule.FRONTEND, Rule.CLIENT, Rule.VERDICT]

    def test_of_a_service_s_other_port(self) -> None:
        assert self.rules(compiled(service(), FOUR), "c1", CLUSTER_IP, 81) == [Rule.FRONTEND, Rule.CLUSTER_IP]

    def test_of_an_address_that_no_service_has(self) -> None:
        rules = [Rule.FRONTEND, Rule.CLUSTER_IP, Rule.SERVICE_CIDR]
        assert self.rules(compiled(service()), "c1", "10.96.0.99") == rules
        assert self.rules(compiled(service()), "c1", "203.0.113.1") == rules


# --- Properties -------------------------------------------------------------------------------------------------

addresses = st.sampled_from(
    [a for pair in ADDRESSES.values() for a in pair]
    + ["10.96.0.1", "10.96.0.2", "fd00:10:96::1", VIP, "2001:db8::7", "127.0.0.1", "203.0.113.5"]
)


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Any packet, but mostly one that the tables of `strategies.tables` have something to say about."""
    destination = draw(addresses)
    source = draw(addresses.filter(lambda a: Family.of(a) is Family.of(destination)))
    return Packet(
        Endpoint(source, draw(st.integers(1024, 1030))),
        Endpoint(destination, draw(st.sampled_from((80, 53, 30080, 30053, 8080)))),
        draw(st.sampled_from(Protocol)),
        draw(st.sampled_from((None, "eth0", "cni0", "pod-c1"))),
    )


def run(table: ForwardingTable, sent: list[Packet], seed: int) -> tuple[list[Decision], State]:
    choose, known, decisions = Random(seed).randrange, state(), []
    for each in sent:
        decisions.append(decide(table, each, known, choose))
        known = known.after(each, decisions[-1])
    return decisions, known


@given(tables(), st.lists(packets(), max_size=8), st.integers())
def test_the_same_seed_gives_the_same_decisions(table: ForwardingTable, sent: list[Packet], seed: int) -> None:
    assert run(table, sent, seed) == run(table, sent, seed)


@given(tables(), packets())
def test_every_backend_is_one_of_its_verdict_s_pool(table: ForwardingTable, sent: Packet) -> None:
    for decision in every_decision(table, sent, state()):
        if decision.outcome is Outcome.FORWARD:
            assert decision.frontend is not None
            assert decision.client is not None
            verdict = decision.frontend.verdict(decision.client)
            assert isinstance(verdict, Forward)
            assert decision.backend in verdict.pool.backends
            assert decision.packet.destination == decision.backend.endpoint
            assert decision.masquerade >= verdict.masquerade
        else:
            assert decision.packet == sent


@given(tables(), packets())
def test_what_could_happen_is_certain_to_happen_one_way_or_the_other(table: ForwardingTable, sent: Packet) -> None:
    by_backend = {decision.backend: decision.probability for decision in every_decision(table, sent, state())}
    assert sum(by_backend.values()) == 1


@given(tables(), st.lists(packets(), max_size=8), st.integers(), st.integers())
def test_a_known_connection_keeps_its_backend_whatever_chance_says(
    table: ForwardingTable, sent: list[Packet], seed: int, other: int
) -> None:
    _, known = run(table, sent, seed)
    for each in sent:
        if each.flow in known.flows:
            assert decide(table, each, known, Random(other).randrange).packet == known.flows[each.flow].packet


@given(tables(), packets())
def test_there_and_back_again_changes_nothing(table: ForwardingTable, sent: Packet) -> None:
    for there in every_decision(table, sent, state()):
        if there.outcome is Outcome.FORWARD and there.packet.reply.flow != sent.flow:
            back = decide(table, there.packet.reply, state().after(sent, there), first)
            assert (back.packet.source, back.packet.destination) == (sent.destination, sent.source)


@given(tables(), tables(), st.lists(packets(), max_size=8), st.integers())
def test_no_udp_flow_outlives_the_service_of_its_endpoint(
    before: ForwardingTable, after: ForwardingTable, sent: list[Packet], seed: int
) -> None:
    _, known = run(before, sent, seed)
    for flow in known.settled(after).flows.values():
        assert flow.frontend is not None
        assert flow.backend is not None
        if flow.frontend.key.protocol is Protocol.UDP:
            assert flow.backend.endpoint in (after.frontends[flow.frontend.key].serving or ())


@given(tables(), tables(), st.lists(packets(), max_size=8), st.integers())
def test_settling_twice_is_settling_once(
    before: ForwardingTable, after: ForwardingTable, sent: list[Packet], seed: int
) -> None:
    once = run(before, sent, seed)[1].settled(after)
    assert once.settled(after) == once


def test_a_frontend_key_is_found_by_destination_and_protocol() -> None:
    table = compiled(service(), FOUR)
    found = find_frontend(table, Endpoint(CLUSTER_IP, 80), Protocol.TCP, frozenset())
    assert found is not None
    assert found.key == FrontendKey(CLUSTER_IP, Protocol.TCP, 80)
