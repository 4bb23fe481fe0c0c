"""The whole text for a cluster with one Service of each kind, to be read, and to show what a change of ours changes.

`mixed-cluster.txt` is made by running this file: ``python tests/dataplane/iptables/test_whole_output.py``. Read the
difference before it is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cluster import compiled, joined, piece, port, service, view
from controller.objects import ClientIPConfig, SessionAffinityConfig
from dataplane.iptables.chain import Options
from dataplane.table import Family, ForwardingTable, HealthCheckPort

EXPECTED = Path(__file__).with_name("mixed-cluster.txt")

OPTIONS = Options(localhost_node_ports=True)
EVERYWHERE = view(node_port_addresses=("0.0.0.0", "::"))
HTTP = (("http", 8080),)


def mixed_cluster() -> ForwardingTable:
    table = joined(
        compiled(
            service("inside", port(80, "http"), cluster_ip="10.96.0.11"),
            piece("inside", "b1", "b3", ports=HTTP),
            node=EVERYWHERE,
        ),
        compiled(
            service("only-here", port(80, "http"), cluster_ip="10.96.0.12", internal_traffic_policy="Local"),
            piece("only-here", "b1", "b3", ports=HTTP),
            node=EVERYWHERE,
        ),
        compiled(
            service("outside", port(80, "http", node_port=30080), cluster_ip="10.96.0.13", vips=["198.51.100.7"]),
            piece("outside", "b1", "b2", "b3", ports=HTTP),
            node=EVERYWHERE,
        ),
        compiled(
            service(
                "kept-address",
                port(80, "http", node_port=30081),
                cluster_ip="10.96.0.14",
                vips=["198.51.100.8"],
                external_ips=("198.51.100.9",),
                external_traffic_policy="Local",
                load_balancer_source_ranges=("192.0.2.0/24", "203.0.113.0/28"),
            ),
            piece("kept-address", "b1", "b3", ports=HTTP),
            node=EVERYWHERE,
        ),
        compiled(
            service(
                "remembering",
                port(53, "dns", "UDP"),
                cluster_ip="10.96.0.15",
                session_affinity="ClientIP",
                session_affinity_config=SessionAffinityConfig(ClientIPConfig(600)),
            ),
            piece("remembering", "b1", "b3", ports=(("dns", 5353, "UDP"),)),
            node=EVERYWHERE,
        ),
        compiled(
            service("nobody", port(80, "http", node_port=30082), cluster_ip="10.96.0.16"),
            piece("nobody", ports=HTTP),
            node=EVERYWHERE,
        ),
        compiled(
            service(
                "elsewhere", port(80, "http", node_port=30083), cluster_ip="10.96.0.17", external_traffic_policy="Local"
            ),
            piece("elsewhere", "b3", ports=HTTP),
            node=EVERYWHERE,
        ),
    )
    return replace(table, health_check_ports=frozenset({HealthCheckPort(Family.IPV4, 32000, "default/kept-address")}))


def test_the_whole_output_is_as_expected(written: Callable[..., str]) -> None:
    assert written(mixed_cluster(), Family.IPV4, OPTIONS) == EXPECTED.read_text()


if __name__ == "__main__":
    from dataplane.iptables.restore import Restore
    from dataplane.iptables.ruleset import Ruleset
    from dataplane.iptables.skeleton import guests

    ruleset = Ruleset.of(mixed_cluster(), Family.IPV4, OPTIONS)
    EXPECTED.write_text(Restore(ruleset.chains, guests=guests(ruleset.setting)).text())
