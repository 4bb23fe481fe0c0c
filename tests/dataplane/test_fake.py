"""The dataplane that tests can read."""

from __future__ import annotations

import pytest

from cluster import ADDRESSES, CLUSTER_IP, UDP, VIP, compiled, piece, port, service, state
from dataplane.fake import FakeDataplane
from dataplane.interface import Dataplane, DataplaneError, Drift
from dataplane.reference import Outcome
from dataplane.table import ForwardingTable, FrontendKey, Protocol
from flows import packet

DNS = port(53, "", UDP)
WEB = compiled(service(), piece("web", "b1", "b3"))


def fake(*tables: ForwardingTable) -> FakeDataplane:
    dataplane = FakeDataplane(state())
    for table in tables:
        dataplane.apply(table)
    return dataplane


def test_it_is_a_dataplane() -> None:
    dataplane: Dataplane = fake()
    assert not dataplane.audit()


class TestApplying:
    def test_the_first_time_everything_is_written_and_then_only_what_changed(self) -> None:
        dataplane = fake()
        first, second = dataplane.apply(WEB), dataplane.apply(WEB)
        assert (first.full, first.operations) == (True, 1)
        assert (second.full, second.operations) == (False, 0)

    def test_every_table_and_every_change_is_noted(self) -> None:
        dataplane = fake(WEB, ForwardingTable())
        assert dataplane.tables == [WEB, ForwardingTable()]
        assert [len(changes.frontends) for changes in dataplane.changes] == [1, 1]

    def test_a_failure_leaves_the_old_table_in_force_and_the_next_apply_writes_everything(self) -> None:
        dataplane = fake(WEB)
        dataplane.failures = 1
        with pytest.raises(DataplaneError):
            dataplane.apply(ForwardingTable())
        assert dataplane.table == WEB
        assert dataplane.apply(WEB).full

    def test_tampering_is_seen_until_the_next_apply(self) -> None:
        dataplane = fake(WEB)
        dataplane.drift = Drift(missing=("frontend 10.96.0.10:80/TCP",))
        assert dataplane.audit()
        dataplane.apply(WEB)
        assert not dataplane.audit()

    def test_cleanup_leaves_nothing(self) -> None:
        dataplane = fake(WEB)
        dataplane.cleanup()
        assert dataplane.table == ForwardingTable()
        assert dataplane.send(packet("c1", CLUSTER_IP, 80)).outcome is Outcome.PASS


class TestSending:
    def test_a_connection_stays_where_it_went_while_the_table_changes(self) -> None:
        dataplane = fake(WEB)
        sent = packet("c1", CLUSTER_IP, 80)
        first = dataplane.send(sent)
        dataplane.apply(compiled(service(), piece("web", "b2")))
        assert dataplane.send(sent).packet == first.packet
        assert dataplane.send(packet("c1", CLUSTER_IP, 80)).packet.destination.address == ADDRESSES["b2"][0]

    def test_a_udp_flow_follows_its_endpoint_s_going(self) -> None:
        dataplane = fake(compiled(service("dns", DNS), piece("dns", "b1", ports=[("", 5353, UDP)])))
        sent = packet("c1", CLUSTER_IP, 53, UDP)
        assert dataplane.send(sent).packet.destination.address == ADDRESSES["b1"][0]
        dataplane.apply(compiled(service("dns", DNS), piece("dns", "b3", ports=[("", 5353, UDP)])))
        assert dataplane.send(sent).packet.destination.address == ADDRESSES["b3"][0]

    def test_the_same_seed_makes_the_same_choices(self) -> None:
        def choices() -> list[str]:
            dataplane = fake(WEB)
            sent = [packet("c1", CLUSTER_IP, 80, source_port=number) for number in range(1000, 1050)]
            return [dataplane.send(each).packet.destination.address for each in sent]

        assert choices() == choices()
        assert len(set(choices())) == 2


class TestTelling:
    def test_a_frontend_is_told_in_one_line(self) -> None:
        where = fake(WEB).where(FrontendKey(CLUSTER_IP, Protocol.TCP, 80))
        backends = "10.244.1.21:8080 10.244.2.23:8080"
        assert where == f"10.96.0.10:80/TCP default/web: pod → {backends}; node,outside → {backends} masqueraded"

    def test_limits_and_refusals_are_told_too(self) -> None:
        limited = service(vips=[VIP], external_traffic_policy="Local", load_balancer_source_ranges=("203.0.113.0/24",))
        dump = fake(compiled(limited, piece("web", "b3"))).dump().splitlines()
        assert dump[1] == (
            "198.51.100.7:80/TCP default/web from 203.0.113.0/24: "
            "pod → 10.244.2.23:8080; node → 10.244.2.23:8080 masqueraded; outside dropped"
        )

    def test_what_is_not_there_cannot_be_told(self) -> None:
        with pytest.raises(KeyError):
            fake().where(FrontendKey(CLUSTER_IP, Protocol.TCP, 80))
