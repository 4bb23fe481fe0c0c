"""Both variants of iptables, in network namespaces: what is written arrives, stays, is looked after, and goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from cluster import HOST_ADDRESSES, VIP, compiled, dual_stack, joined, piece, port, service, state, view
from dataplane.errors import InputError
from dataplane.interface import DataplaneError, Drift
from dataplane.iptables import IptablesDataplane, choose_variant, command
from dataplane.iptables.command import Iptables
from dataplane.iptables.skeleton import OUR_OWN
from dataplane.table import Endpoint, Family, ForwardingTable, FrontendKey, Protocol
from flows import every_decision, packet
from iptables_tracer import Tracer

pytestmark = pytest.mark.kernel

Namespaces = Callable[[Callable[[], Any]], Any]
Run = Callable[..., str]

LIMIT = ("192.0.2.0/24",)
WEB = dual_stack(
    "web", port(80, "http", node_port=30080), vips=[VIP], external_traffic_policy="Local", session_affinity="ClientIP"
)
TABLE = joined(
    compiled(
        WEB,
        piece("web", "b1", "b3", ports=(("http", 8080),)),
        piece("web", "b1", "b3", name="six", family=Family.IPV6, ports=(("http", 8080),)),
    ),
    compiled(service("empty", port(53, protocol="UDP"), cluster_ip="10.96.0.11"), piece("empty")),
    compiled(
        service("limited", vips=["198.51.100.8"], cluster_ip="10.96.0.12", load_balancer_source_ranges=LIMIT),
        piece("limited", "b1", "b2", "b3"),
    ),
)  # fmt: skip
FEWER = joined(compiled(WEB, piece("web", "b1", ports=(("http", 8080),))))


def test_what_was_written_is_what_is_there(variant: str, in_new_namespace: Namespaces) -> None:
    def work() -> None:
        dataplane = IptablesDataplane(variant)
        for table in (TABLE, FEWER, TABLE, ForwardingTable()):
            dataplane.apply(table)
            assert not dataplane.tampered()
            assert dataplane.audit() == Drift()
            assert not dataplane.tampered()

    in_new_namespace(work)


def test_the_udp_frontends_that_another_agent_had_are_known(variant: str, in_new_namespace: Namespaces) -> None:
    """So many that their chain is divided; those that nobody serves too."""

    def dns(number: int) -> ForwardingTable:
        made = service(
            f"dns-{number}",
            port(53, "dns", protocol="UDP", node_port=30053 + number),
            port(80, "http"),
            vips=[f"198.51.100.{number + 1}"],
            cluster_ip=f"10.96.{number}.10",
        )
        served = ("b1", "b3") if number % 2 else ()
        return compiled(made, piece(made.metadata.name, *served, ports=(("dns", 53, "UDP"), ("http", 8080))))

    table = joined(*map(dns, range(20)))

    def work() -> None:
        IptablesDataplane(variant).apply(table)
        found = set(Iptables(variant, Family.IPV4).save().udp_frontends(Family.IPV4))
        found = {key._replace(address="0.0.0.0") if key.address in HOST_ADDRESSES else key for key in found}
        assert found == {key for key in table.frontends if key.protocol is Protocol.UDP}
        assert len(found) == 60

    in_new_namespace(work)


@settings(max_examples=6)
@given(st.lists(strategies.tables(), min_size=2, max_size=4), st.sampled_from((1, 3, command.MOST_CHAINS)))
def test_any_table_follows_any_other(in_new_namespace: Namespaces, history: list[ForwardingTable], most: int) -> None:
    def work() -> None:
        dataplanes = [IptablesDataplane("legacy"), IptablesDataplane("nft")]
        for table in history:
            for dataplane in dataplanes:
                dataplane.apply(table)
        assert [dataplane.audit() for dataplane in dataplanes] == [Drift(), Drift()]
        for dataplane in dataplanes:
            dataplane.cleanup()
        assert [dataplane.has_chains() for dataplane in dataplanes] == [False, False]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "MOST_CHAINS", most)
        in_new_namespace(work)


def test_an_agent_follows_another_one_in_parts(
    in_new_namespace: Namespaces, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds chains that it needs, in part with other rules, and some that nobody needs any more."""
    monkeypatch.setattr(command, "MOST_CHAINS", 2)

    def work() -> None:
        for table in (TABLE, FEWER, TABLE):
            assert IptablesDataplane("nft").apply(table).full
            fresh = IptablesDataplane("nft")
            fresh.apply(table)
            assert fresh.audit() == Drift()
        assert run("iptables-nft-save -t nat").count("-A PREROUTING") == 1

    in_new_namespace(work)


def test_the_rules_that_the_kernel_gives_back_decide_as_the_reference(
    variant: str, in_new_namespace: Namespaces, run: Run
) -> None:
    def work() -> str:
        IptablesDataplane(variant).apply(TABLE)
        return run(f"iptables-{variant}-save")

    tracer = Tracer(in_new_namespace(work), HOST_ADDRESSES)
    for key in TABLE.frontends:
        for client in ("c1", "n1", "x1"):
            if key.family is Family.IPV4:
                sent = packet(client, "192.0.2.1" if key.is_node_port else key.address, key.port, key.protocol)
                wanted = {(d.outcome, d.packet.destination) for d in every_decision(TABLE, sent, state())}
                assert {(w.outcome, w.destination) for w in tracer.ways(sent)} == wanted


TAMPERING = {
    "flushes a table": "-t nat -F",
    "loses the canary": "-t mangle -X KUBE-PROXY-CANARY",
    "deletes a jump": "-t nat -D PREROUTING 1",
    "empties a chain": "-t nat -F KUBE-SERVICES",
    "adds a rule": "-t nat -I KUBE-SERVICES -j ACCEPT",
    "deletes a rule": "-t nat -D KUBE-POSTROUTING 1",
    "adds a chain": "-t nat -N KUBE-SVC-OFSOMEBODYELSE",
    "refuses all": "-t filter -A KUBE-PROXY-FIREWALL -j DROP",
}


@pytest.mark.parametrize("command", TAMPERING.values(), ids=TAMPERING)
def test_somebody_who(command: str, variant: str, in_new_namespace: Namespaces, run: Run) -> None:
    def work() -> None:
        dataplane = IptablesDataplane(variant)
        dataplane.apply(TABLE)
        before = _rules(run(f"iptables-{variant}-save"))
        run(f"iptables-{variant} {command}")
        assert dataplane.tampered()
        assert dataplane.audit()
        assert dataplane.apply(TABLE).full
        assert dataplane.audit() == Drift()
        assert _rules(run(f"iptables-{variant}-save")) == before

    in_new_namespace(work)


def _rules(saved: str) -> list[str]:
    return [line for line in saved.splitlines() if line.startswith("-A ")]


FOREIGN = """\
*filter
:KUBE-FIREWALL - [0:0]
:MINE - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -s 192.0.2.9/32 -j MINE
-A FORWARD -j ACCEPT
-A KUBE-FIREWALL -s 192.0.2.8/32 -j DROP
-A MINE -j DROP
COMMIT
*mangle
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
*nat
:KUBE-HOSTPORTS - [0:0]
-A PREROUTING -j KUBE-HOSTPORTS
COMMIT
"""


def test_cleaning_up_leaves_what_is_not_ours(variant: str, in_new_namespace: Namespaces, run: Run) -> None:
    def work() -> None:
        run(f"iptables-{variant}-restore", FOREIGN)
        before = _lines(run(f"iptables-{variant}-save"))
        dataplane = IptablesDataplane(variant)
        dataplane.apply(TABLE)
        dataplane.cleanup()
        assert _lines(run(f"iptables-{variant}-save")) == before
        assert dataplane.audit() == Drift()
        dataplane.cleanup()

    in_new_namespace(work)


def test_kube_proxy_s_chains_are_told_from_ours(variant: str, in_new_namespace: Namespaces, run: Run) -> None:
    def work() -> tuple[bool, bool]:
        dataplane = IptablesDataplane(variant)
        dataplane.apply(TABLE)
        ours = dataplane.is_ours()
        without = f"*filter\n-D {OUR_OWN.chain.name} {OUR_OWN.rule}\nCOMMIT\n"
        for program in ("iptables", "ip6tables"):
            run(f"{program}-{variant}-restore --noflush", without)
        return ours, dataplane.is_ours()

    assert in_new_namespace(work) == (True, False)


def _lines(saved: str) -> list[str]:
    return [line.partition("[")[0] for line in saved.splitlines() if not line.startswith("#")]


def test_what_another_proxy_left_is_taken_over(variant: str, in_new_namespace: Namespaces, run: Run) -> None:
    def work() -> None:
        IptablesDataplane(variant).apply(TABLE)
        successor = IptablesDataplane(variant)
        assert successor.audit().foreign
        assert successor.apply(FEWER).full
        assert successor.audit() == Drift()
        assert run(f"iptables-{variant}-save").count("-A PREROUTING") == 1

    in_new_namespace(work)


def test_a_change_that_is_refused_leaves_the_old_rules_and_is_made_up_for(
    variant: str, in_new_namespace: Namespaces, run: Run
) -> None:
    def work() -> None:
        dataplane = IptablesDataplane(variant)
        dataplane.apply(TABLE)
        gone = next(word[1:] for word in run(f"iptables-{variant}-save").split() if word.startswith(":KUBE-FW-"))
        run(f"iptables-{variant} -t nat -N MINE")
        run(f"iptables-{variant} -t nat -A MINE -j {gone}")
        before = _rules(run(f"iptables-{variant}-save -t nat"))
        with pytest.raises(DataplaneError, match=f"^iptables: iptables-{variant}-restore failed: .+$"):
            dataplane.apply(FEWER)
        assert _rules(run(f"iptables-{variant}-save -t nat")) == before
        run(f"iptables-{variant} -t nat -F MINE")
        assert dataplane.apply(FEWER).full
        assert dataplane.audit() == Drift()

    in_new_namespace(work)


def test_node_ports_on_localhost_are_guarded(variant: str, in_new_namespace: Namespaces, run: Run) -> None:
    """In the namespace's own settings: the host's are not touched."""
    everywhere = compiled(
        service("web", port(80, node_port=30080)), piece("web", "b1"), node=view(node_port_addresses=("0.0.0.0", "::"))
    )
    setting = Path("/proc/sys/net/ipv4/conf/all/route_localnet")

    def work() -> None:
        dataplane = IptablesDataplane(variant, localhost_node_ports=True)
        dataplane.apply(everywhere)
        assert setting.read_text() == "1\n"
        saved = run(f"iptables-{variant}-save")
        assert "-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8" in saved
        (way,) = Tracer(saved, HOST_ADDRESSES).ways(packet("n1", "127.0.0.1", 30080))
        assert (way.destination, way.masqueraded) == (Endpoint("10.244.1.21", 8080), True)

    before = setting.read_text()
    in_new_namespace(work)
    assert setting.read_text() == before


def test_node_ports_are_not_on_localhost_unless_asked_for(written: Callable[..., str]) -> None:
    everywhere = compiled(
        service("web", port(80, node_port=30080)), piece("web", "b1"), node=view(node_port_addresses=("0.0.0.0", "::"))
    )
    tracer = Tracer(written(everywhere, Family.IPV4), HOST_ADDRESSES)
    (way,) = tracer.ways(packet("n1", "127.0.0.1", 30080))
    assert way.destination == Endpoint("127.0.0.1", 30080)


def test_a_frontend_s_rules_can_be_read(variant: str, in_new_namespace: Namespaces) -> None:
    def work() -> str:
        dataplane = IptablesDataplane(variant)
        dataplane.apply(TABLE)
        return dataplane.where(FrontendKey("0.0.0.0", Protocol.TCP, 30080))

    chains = [line.split(" -A ")[1].split(" ")[0].split("-")[1] for line in in_new_namespace(work).splitlines()]
    assert list(dict.fromkeys(chains)) == ["NODEPORTS", "EXT", "SVC", "SVL", "SEP"]


class TestTheVariant:
    def test_that_another_proxy_uses_is_chosen(self, variant: str, in_new_namespace: Namespaces) -> None:
        def work() -> str:
            IptablesDataplane(variant).apply(TABLE)
            return choose_variant()

        assert in_new_namespace(work) == variant

    def test_that_kubelet_uses_is_chosen(self, variant: str, in_new_namespace: Namespaces, run: Run) -> None:
        def work() -> str:
            run(f"iptables-{variant} -t mangle -N KUBE-KUBELET-CANARY")
            return choose_variant()

        assert in_new_namespace(work) == variant

    def test_that_would_leave_a_proxy_s_rules_in_the_other_is_refused(
        self, variant: str, in_new_namespace: Namespaces
    ) -> None:
        other = {"legacy": "nft", "nft": "legacy"}[variant]

        def work() -> None:
            IptablesDataplane(variant).apply(TABLE)
            choose_variant(other)

        with pytest.raises(
            InputError, match=f"--iptables-variant: {other} was chosen, but .* are in iptables-{variant}"
        ):
            in_new_namespace(work)

    def test_that_nobody_knows_is_refused(self) -> None:
        with pytest.raises(InputError, match="'new' is none of auto, nft, legacy"):
            choose_variant("new")
