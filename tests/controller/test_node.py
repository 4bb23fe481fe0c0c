"""What this node is to its Services: its addresses, where NodePorts answer, how pods are told."""

from __future__ import annotations

import pytest

from controller.node import PRIMARY, NodeOptions, check_options, node_addresses, node_view
from controller.objects import Metadata, Node, NodeAddress, NodeSpec, NodeStatus
from controller.selection import Place
from dataplane.errors import InputError
from dataplane.table import DetectLocal

INTERNAL, EXTERNAL = "InternalIP", "ExternalIP"
INTERFACES = ("127.0.0.1", "::1", "192.0.2.1", "192.0.2.101", "fd00:192::1", "169.254.1.1")


def node(*addresses: tuple[str, str], zone: str | None = "za", pod_cidrs: tuple[str, ...] | None = None) -> Node:
    return Node(
        Metadata(name="n1", labels={"topology.kubernetes.io/zone": zone} if zone is not None else None),
        NodeSpec(pod_cidrs=pod_cidrs),
        NodeStatus(tuple(NodeAddress(kind, address) for kind, address in addresses)),
    )


DUAL = node((INTERNAL, "192.0.2.1"), (INTERNAL, "fd00:192::1"))


class TestTheNodesAddresses:
    def test_internal_ones_come_before_external_ones(self) -> None:
        assert node_addresses(node((EXTERNAL, "203.0.113.1"), (INTERNAL, "192.0.2.1"))) == ("192.0.2.1",)

    def test_the_first_of_each_family_counts_and_the_very_first_is_primary(self) -> None:
        of = node((INTERNAL, "fd00:192::1"), (INTERNAL, "192.0.2.1"), (INTERNAL, "192.0.2.2"))
        assert node_addresses(of) == ("fd00:192::1", "192.0.2.1")

    def test_an_external_one_may_be_the_only_one_of_its_family(self) -> None:
        of = node((EXTERNAL, "2001:db8::1"), (INTERNAL, "192.0.2.1"))
        assert node_addresses(of) == ("192.0.2.1", "2001:db8::1")

    def test_host_names_are_no_addresses(self) -> None:
        assert node_addresses(node(("Hostname", "192.0.2.9"), (INTERNAL, "n1"), (INTERNAL, "192.0.2.1"))) == (
            "192.0.2.1",
        )

    @pytest.mark.parametrize("unknown", [None, Node(), node()])
    def test_a_node_that_is_not_known_has_none(self, unknown: Node | None) -> None:
        assert node_addresses(unknown) == ()

    def test_the_bind_address_comes_first(self) -> None:
        assert node_addresses(DUAL, "fd00:192::9") == ("fd00:192::9", "192.0.2.1")

    @pytest.mark.parametrize("unspecified", ["0.0.0.0", "::", ""])
    def test_an_unspecified_bind_address_says_nothing(self, unspecified: str) -> None:
        assert node_addresses(DUAL, unspecified) == ("192.0.2.1", "fd00:192::1")


class TestWhereNodePortsAnswer:
    def answers(self, *wanted: str, of: Node | None = DUAL) -> set[str]:
        options = check_options(NodeOptions("n1", node_port_addresses=wanted))
        # An iterator, as the interface promises no more.
        return set(node_view(options, of, iter(INTERFACES)).node_port_addresses)

    def test_on_the_primary_addresses_unless_told(self) -> None:
        assert NodeOptions("n1").node_port_addresses == (PRIMARY,)
        assert self.answers(PRIMARY) == {"192.0.2.1", "fd00:192::1"}

    def test_a_family_without_a_primary_address_answers_everywhere(self) -> None:
        assert self.answers(PRIMARY, of=node((INTERNAL, "192.0.2.1"))) == {"192.0.2.1", "::"}

    def test_a_node_without_addresses_answers_everywhere(self) -> None:
        assert self.answers(PRIMARY, of=None) == {"0.0.0.0", "::"}

    def test_within_networks_on_every_address_that_an_interface_has(self) -> None:
        assert self.answers("192.0.2.0/24", "fd00:192::/64") == {"192.0.2.1", "192.0.2.101", "fd00:192::1"}

    def test_a_family_that_nothing_is_said_about_answers_everywhere(self) -> None:
        assert self.answers("192.0.2.101/32") == {"192.0.2.101", "::"}

    def test_a_network_that_holds_everything_means_everywhere(self) -> None:
        assert self.answers("192.0.2.0/24", "0.0.0.0/0", "fd00:192::/64") == {"0.0.0.0", "fd00:192::1"}

    def test_networks_without_an_address_of_this_host_mean_nowhere(self) -> None:
        assert self.answers("203.0.113.0/24", "2001:db8::/64") == set()

    def test_never_on_loopback_addresses(self) -> None:
        assert self.answers("127.0.0.0/8", "::1/128") == set()


class TestHowPodsAreTold:
    def rule(self, of: Node | None = DUAL, **options: object) -> DetectLocal:
        return node_view(check_options(NodeOptions("n1", **options)), of, ()).detect_local  # type: ignore[arg-type]

    def test_by_the_cluster_s_networks(self) -> None:
        both = ("10.244.0.0/16", "fd00:244::/32")
        assert self.rule(cluster_cidrs=both) == DetectLocal(both)

    def test_not_at_all_without_them(self) -> None:
        assert self.rule() == DetectLocal()

    def test_by_this_node_s_networks(self) -> None:
        of = node(pod_cidrs=("10.244.1.0/24", "10.244.9.0/24", "fd00:244:1::/64"))
        assert self.rule(of, detect_local_mode="NodeCIDR") == DetectLocal(("10.244.1.0/24", "fd00:244:1::/64"))

    def test_by_the_one_network_of_a_node_from_before_dual_stack(self) -> None:
        of = Node(spec=NodeSpec(pod_cidr="10.244.1.0/24"))
        assert self.rule(of, detect_local_mode="NodeCIDR") == DetectLocal(("10.244.1.0/24",))

    @pytest.mark.parametrize("of", [None, Node(), DUAL])
    def test_not_at_all_while_the_node_has_no_networks(self, of: Node | None) -> None:
        assert self.rule(of, detect_local_mode="NodeCIDR") == DetectLocal()

    def test_by_a_bridge(self) -> None:
        rule = self.rule(detect_local_mode="BridgeInterface", bridge_interface="cni0")
        assert rule == DetectLocal(interface="cni0")

    def test_by_how_an_interface_s_name_begins(self) -> None:
        rule = self.rule(detect_local_mode="InterfaceNamePrefix", interface_name_prefix="veth")
        assert rule == DetectLocal(interface="veth", prefix=True)


class TestTheNodesPlace:
    def test_is_its_name_and_zone(self) -> None:
        assert node_view(NodeOptions("n1"), DUAL, ()).place == Place("n1", "za")

    @pytest.mark.parametrize("of", [None, Node(), node(zone=None), node(zone="")])
    def test_without_a_label_there_is_no_zone(self, of: Node | None) -> None:
        assert node_view(NodeOptions("n1"), of, ()).place == Place("n1", "")


class TestOptionsThatAreWrong:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"detect_local_mode": "Guess"}, "--detect-local-mode: 'Guess'"),
            ({"detect_local_mode": "BridgeInterface"}, "--pod-bridge-interface: needed"),
            ({"detect_local_mode": "InterfaceNamePrefix"}, "--pod-interface-name-prefix: needed"),
            ({"cluster_cidrs": ("10.244.0.0",)}, "--cluster-cidr: '10.244.0.0' is no network"),
            ({"cluster_cidrs": ("10.244.0.0/16", "10.245.0.0/16")}, "--cluster-cidr: expected one network"),
            ({"node_port_addresses": ("primary", "192.0.2.0/24")}, "--nodeport-addresses: 'primary'"),
            ({"node_port_addresses": ("192.0.2.0",)}, "--nodeport-addresses: '192.0.2.0' is no network"),
            ({"bind_address": "here"}, "--bind-address: 'here'"),
        ],
    )
    def test_are_named_by_their_flag(self, options: dict[str, object], told: str) -> None:
        with pytest.raises(InputError) as raised:
            check_options(NodeOptions("n1", **options))  # type: ignore[arg-type]
        assert str(raised.value).startswith(told)

    def test_networks_are_brought_into_canonical_form(self) -> None:
        options = check_options(NodeOptions("n1", cluster_cidrs=(" 10.244.7.7/16",)))
        assert options.cluster_cidrs == ("10.244.0.0/16",)
