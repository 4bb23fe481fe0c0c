"""Several EndpointSlices become one list of endpoints per port."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from cluster import address, draining, endpoint, piece, stopped, unready
from controller.endpoints import Candidate, endpoints_by_port
from controller.objects import EndpointSlice, SliceEndpoint, SlicePort
from dataplane.table import Endpoint, Family

HTTP = ("http", "TCP")
DNS = ("dns", "UDP")


def read(*slices: EndpointSlice, family: Family = Family.IPV4) -> dict[tuple[str, str], list[str]]:
    found = endpoints_by_port(slices, family)
    return {key: [str(c.endpoint) for c in candidates] for key, candidates in found.items()}


def only(candidates: Iterable[Candidate]) -> Candidate:
    (one,) = candidates
    return one


def merged(*doubles: SliceEndpoint) -> Candidate:
    """The one candidate that comes of several entries for the same endpoint, each in a slice of its own.

    Whatever order the slices come in, it is the same one.
    """
    slices = [piece("web", entry, name=f"web-{number}") for number, entry in enumerate(doubles)]
    outcomes = {only(endpoints_by_port(order, Family.IPV4)["", "TCP"]) for order in itertools.permutations(slices)}
    return only(outcomes)


class TestPorts:
    def test_a_slice_with_two_ports_serves_two_service_ports(self) -> None:
        two = piece("web", "b1", "b2", ports=[("http", 8080), ("dns", 5353, "UDP")])
        assert read(two) == {
            HTTP: ["10.244.1.21:8080", "10.244.1.22:8080"],
            DNS: ["10.244.1.21:5353", "10.244.1.22:5353"],
        }

    def test_slices_with_the_same_port_are_joined(self) -> None:
        slices = [piece("web", "b1", name="a", ports=[("http", 8080)]), piece("web", "b3", ports=[("http", 8080)])]
        assert read(*slices) == {HTTP: ["10.244.1.21:8080", "10.244.2.23:8080"]}

    def test_slices_with_different_ports_stay_apart(self) -> None:
        slices = [piece("web", "b1", name="a", ports=[("http", 8080)]), piece("web", "b1", ports=[("dns", 53, "UDP")])]
        assert read(*slices) == {HTTP: ["10.244.1.21:8080"], DNS: ["10.244.1.21:53"]}

    def test_an_address_may_serve_a_port_under_two_numbers(self) -> None:
        slices = [piece("web", "b1", name="a", ports=[("http", 8080)]), piece("web", "b1", ports=[("http", 8081)])]
        assert read(*slices) == {HTTP: ["10.244.1.21:8080", "10.244.1.21:8081"]}

    def test_a_named_and_an_unnamed_port_are_two(self) -> None:
        assert set(read(piece("web", "b1", ports=[("", 8080), ("http", 8080)]))) == {("", "TCP"), HTTP}

    @pytest.mark.parametrize("number", [None, 0])
    def test_a_port_without_a_number_is_skipped(self, number: int | None) -> None:
        assert read(piece("web", "b1", ports=[SlicePort("http", number, "TCP"), ("dns", 53, "UDP")])) == {
            DNS: ["10.244.1.21:53"]
        }

    def test_a_port_without_a_name_is_skipped_but_an_empty_name_is_a_name(self) -> None:
        assert read(piece("web", "b1", ports=[SlicePort(None, 8080, "TCP"), SlicePort("", 8081, "TCP")])) == {
            ("", "TCP"): ["10.244.1.21:8081"]
        }

    def test_a_port_without_a_protocol_is_tcp(self) -> None:
        assert list(read(piece("web", "b1", ports=[SlicePort("http", 8080, None)]))) == [HTTP]


class TestAddresses:
    def test_only_the_first_address_of_an_entry_counts(self) -> None:
        assert read(piece("web", SliceEndpoint(("10.244.1.21", "10.244.1.22")))) == {("", "TCP"): ["10.244.1.21:8080"]}

    @pytest.mark.parametrize("addresses", [None, (), ("",), ("b1.example",), ("10.244.1.256",)])
    def test_an_entry_without_a_readable_address_is_skipped(self, addresses: tuple[str, ...] | None) -> None:
        assert read(piece("web", SliceEndpoint(addresses), "b3")) == {("", "TCP"): ["10.244.2.23:8080"]}

    def test_leading_zeros_are_decimal(self) -> None:
        assert read(piece("web", SliceEndpoint(("010.244.001.021",)))) == {("", "TCP"): ["10.244.1.21:8080"]}

    def test_slices_of_the_other_family_are_left_out(self) -> None:
        both = [piece("web", "b1", name="four"), piece("web", "b1", name="six", family=Family.IPV6)]
        assert read(*both) == {("", "TCP"): ["10.244.1.21:8080"]}
        assert read(*both, family=Family.IPV6) == {("", "TCP"): ["[fd00:244:1::15]:8080"]}

    def test_slices_of_names_are_left_out(self) -> None:
        named = EndpointSlice(address_type="FQDN", endpoints=(endpoint("b1"),), ports=(SlicePort("", 8080, "TCP"),))
        assert read(named) == {}

    def test_endpoints_are_sorted_by_their_text(self) -> None:
        entries = [SliceEndpoint((f"10.0.1.{last}",)) for last in (10, 1, 2)]
        assert read(piece("web", *entries, ports=[("", 80)])) == {
            ("", "TCP"): ["10.0.1.10:80", "10.0.1.1:80", "10.0.1.2:80"]
        }

    def test_a_port_without_endpoints_is_not_there_at_all(self) -> None:
        assert read(piece("web")) == {}


class TestDoubles:
    def test_an_endpoint_in_four_slices_is_one_endpoint(self) -> None:
        assert merged(*[endpoint("b1")] * 4).endpoint == Endpoint(address("b1"), 8080)

    def test_overlapping_slices_make_the_union(self) -> None:
        slices = [piece("web", "b1", "b2", name="a"), piece("web", "b2", "b3", name="b")]
        assert read(*slices) == {("", "TCP"): ["10.244.1.21:8080", "10.244.1.22:8080", "10.244.2.23:8080"]}

    def test_ready_wins_over_not_ready(self) -> None:
        assert merged(unready("b1"), endpoint("b1")).ready

    def test_not_terminating_wins_over_terminating(self) -> None:
        assert not merged(draining("b1"), unready("b1")).terminating
        assert not merged(stopped("b1"), endpoint("b1")).terminating

    def test_not_terminating_wins_even_over_ready_and_terminating(self) -> None:
        published = endpoint("b1", ready=True, serving=True, terminating=True)
        assert not merged(published, unready("b1")).terminating

    def test_serving_wins_among_those_that_terminate(self) -> None:
        assert merged(stopped("b1"), draining("b1")).serving

    def test_which_of_two_equal_entries_counts_does_not_depend_on_their_order(self) -> None:
        assert merged(endpoint("b1", zones=["za"]), endpoint("b1", zones=["zb"])).zones == {"za"}

    def test_entries_that_are_all_unready_are_kept_as_unready(self) -> None:
        assert not merged(unready("b1"), unready("b1")).ready


class TestConditions:
    def test_unset_conditions_mean_ready_serving_and_not_terminating(self) -> None:
        for entry in (SliceEndpoint((address("b1"),)), endpoint("b1", ready=None)):
            found = merged(entry)
            assert (found.ready, found.serving, found.terminating) == (True, True, False)

    def test_draining_means_terminating_and_serving_but_no_longer_ready(self) -> None:
        assert merged(draining("b1")).draining
        assert not merged(stopped("b1")).draining
        assert not merged(unready("b1")).draining
        assert not merged(endpoint("b1", ready=True, serving=True, terminating=True)).draining

    def test_an_empty_list_of_hints_is_no_hint(self) -> None:
        assert merged(endpoint("b1", zones=[], nodes=[])).zones == frozenset()
