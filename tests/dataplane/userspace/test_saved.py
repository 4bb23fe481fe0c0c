"""A restart keeps what is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import InputError
from dataplane.reference import Outcome
from dataplane.table import Affinity, Forward, ForwardingTable, FrontendKey, Pool, Protocol
from dataplane.userspace.engine import Engine
from dataplane.userspace.limits import Limits
from dataplane.userspace.saved import Saved, from_json, to_json
from small_node import HOST, LIMITS, Names, Node, small_table
from wire import read

NodeWith = Callable[[Limits], Node]


def with_affinity(table: ForwardingTable) -> ForwardingTable:
    """Web clients stay with their backends for an hour."""
    frontends = {}
    for key, frontend in table.frontends.items():
        verdicts = [
            Forward(Pool(v.pool.backends, Affinity(f"web{key.family}", 3600)), v.masquerade)
            if isinstance(v, Forward) and key.port == 80
            else v
            for v in frontend.verdicts
        ]
        frontends[key] = replace(frontend, pod=verdicts[0], node=verdicts[1], outside=verdicts[2])
    return replace(table, frontends=frontends)


def through_json(saved: Saved) -> Saved:
    return from_json(to_json(saved), "a file")


def test_connections_go_on_after_a_restart_masqueraded_or_not(node: Node, twin: Node, names: Names) -> None:
    sent = [node.send(client, 40000, names.service, 80) for client in (names.pod, names.outside)]
    node.now = 60.0
    node.send(names.pod, 40000, names.service, 80, signals="A")
    assert twin.engine.restore(through_json(node.engine.save()), now=5000.0) == 2
    twin.now = 5000.0
    for client, before in zip((names.pod, names.outside), sent, strict=True):
        packet = read(before.data)
        answer = twin.send(packet.dst, 8080, packet.src, packet.sport, signals="SA")
        assert (read(answer.data).src, read(answer.data).dst) == (names.service, client)
    assert set(map(str, twin.engine.flows())) == set(map(str, node.engine.flows()))


def test_what_was_left_of_a_flows_time_is_what_is_left(node: Node, twin: Node, names: Names) -> None:
    node.send(names.pod, 40000, names.service, 53, Protocol.UDP)
    node.now = 200.0
    node.send(names.pod, 40001, names.service, 53, Protocol.UDP)
    twin.engine.restore(through_json(node.engine.save()), now=0.0)
    twin.now = 150.0
    assert not twin.send(names.dns, 8053, names.pod, 40000, Protocol.UDP).reply
    assert twin.send(names.dns, 8053, names.pod, 40001, Protocol.UDP).reply


def test_clients_stay_with_their_backends_after_a_restart(node: Node, twin: Node, names: Names) -> None:
    for each in (node, twin):
        each.engine.apply(with_affinity(each.engine.table))
    before = node.send(names.pod, 40000, names.service, 80).backend
    twin.engine.restore(through_json(node.engine.save()), now=9.0)
    twin.now = 9.0
    again = [twin.send(names.pod, port, names.service, 80) for port in range(41000, 41010)]
    assert all(result.remembered and result.backend == before for result in again)


def test_udp_to_a_backend_that_serves_no_more_is_not_restored(node: Node, table: ForwardingTable) -> None:
    node.send("10.244.1.10", 40000, "10.96.0.10", 53, Protocol.UDP)
    frontends = dict(table.frontends)
    del frontends[FrontendKey("10.96.0.10", Protocol.UDP, 53)]
    with Engine(HOST, limits=LIMITS, seed=1) as engine:
        engine.apply(replace(table, frontends=frontends))
        assert engine.restore(node.engine.save(), now=0.0) == 0
        assert list(engine.flows()) == []


def test_sctp_too_is_not_restored_if_its_service_ended_it(node: Node, table: ForwardingTable) -> None:
    """Its frontend is gone, so only what was saved can tell that it was one of those that end flows."""
    key = FrontendKey("10.96.0.10", Protocol.SCTP, 53)
    dns = table.frontends[FrontendKey("10.96.0.10", Protocol.UDP, 53)]
    for serving, restored in ((dns.serving, 0), (None, 1)):
        frontend = replace(dns, key=key, serving=serving)
        node.engine.apply(replace(table, frontends={**table.frontends, key: frontend}))
        node.send("10.244.1.10", 40000, "10.96.0.10", 53, Protocol.SCTP)
        saved = through_json(node.engine.save())
        with Engine(HOST, limits=LIMITS, seed=1) as engine:
            engine.apply(table)
            assert engine.restore(saved, now=0.0) == len(list(engine.flows())) == restored
        node.engine.apply(table)


def test_what_is_known_already_or_does_not_fit_is_left_out(node: Node, node_with: NodeWith, names: Names) -> None:
    for port in range(40000, 40010):
        node.send(names.pod, port, names.service, 80)
    small = node_with(replace(LIMITS, flows=4)).engine
    assert small.restore(node.engine.save(), now=0.0) == 4
    assert node.engine.restore(node.engine.save(), now=0.0) == 0


def test_an_engine_that_knows_nothing_saves_nothing(node: Node) -> None:
    assert node.engine.save() == Saved((), ())


def client(address: str, backend: str, milliseconds: int) -> bytes:
    saved = {"name": "web", "client": address, "backend": [backend, 80], "milliseconds": milliseconds}
    return msgspec.json.encode({"flows": [], "clients": [saved]})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected saved flows"),
        (b'{"flows": [], "clients": [], "version": 2}', "version 2"),
        (b'{"flows": [{}], "clients": []}', "expected saved flows"),
        (b'{"flows": [], "clients": [{"name":"a","client":"x","backend":["::1",1],"milliseconds":1}]}', "'x'"),
        (
            b'{"flows": [], "clients": [{"name":"a","client":"1.1.1.1","backend":["::1",1],"milliseconds":1}]}',
            "one family",
        ),
        (
            b'{"flows": [], "clients": [{"name":"a","client":"::1","backend":["::1",1],"milliseconds":-1}]}',
            "milliseconds",
        ),
    ],
)
def test_what_is_not_saved_flows_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        from_json(data, "flows.json")
    assert str(error.value).startswith("flows.json: ")
    assert "\n" not in str(error.value)


@given(st.data())
def test_saved_flows_with_anything_changed_are_refused_or_harmless(data: st.DataObject) -> None:
    """Numbers and addresses of a saved flow are replaced by others; an engine takes it or not, and goes on."""
    with Engine(HOST, limits=LIMITS, seed=7) as engine:
        engine.apply(small_table())
        node = Node(engine)
        node.send("203.0.113.9", 40000, "10.96.0.10", 80)
        raw = msgspec.json.decode(to_json(engine.save()))
    flow = raw["flows"][0]
    key = data.draw(st.sampled_from(sorted(flow)))
    addresses = st.sampled_from(["10.96.0.10", "0.0.0.0", "::", "fd00::1", "10.244.1.21"])
    others = st.integers(-(2**65), 2**65) | st.booleans() | st.text(max_size=3)
    flow[key] = data.draw(others | st.tuples(addresses | st.text(max_size=3), st.integers(-1, 2**17)))
    with Engine(HOST, limits=LIMITS, seed=7) as engine:
        engine.apply(small_table())
        try:
            engine.restore(from_json(msgspec.json.encode(raw), "a file"), now=0.0)
        except InputError:
            return
        node = Node(engine)
        assert node.send("10.244.1.10", 40000, "10.96.0.10", 80).outcome is Outcome.FORWARD
        assert len(list(engine.flows())) == engine.counters.flows["used"]
