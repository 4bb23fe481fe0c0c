"""The measurements measure what they say."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from bench import api_server, kube_proxy_shape, workload
from bench.workload import Shape
from controller.api.wire import Changed, Decoder
from controller.cluster import Cluster
from controller.compiler import Compiler
from controller.node import NodeOptions, node_view
from controller.objects import EndpointSlice, Service
from dataplane.table import Forward, ForwardingTable

SERVICES = 20


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster(lambda: None)
    for page in workload.service_pages(SERVICES):
        cluster.services.replace({o.metadata.key: o for o in Decoder(Service).page(page).objects})
    for page in workload.endpoint_slice_pages(SERVICES):
        cluster.slices.replace({o.metadata.key: o for o in Decoder(EndpointSlice).page(page).objects})
    return cluster


def compiled(cluster: Cluster) -> ForwardingTable:
    view = node_view(NodeOptions(workload.NODE, cluster_cidrs=(workload.CLUSTER_CIDR,)), None, ())
    return Compiler(view).update(cluster.everything())


def backends(table: ForwardingTable) -> int:
    return sum(len(f.outside.pool.backends) for f in table.frontends.values() if isinstance(f.outside, Forward))


def test_every_service_has_two_ports_with_four_backends_each(cluster: Cluster) -> None:
    table = compiled(cluster)
    assert len(table.frontends) == SERVICES * 2
    assert backends(table) == SERVICES * 2 * 4


def test_a_few_of_the_backends_are_on_this_node(cluster: Cluster) -> None:
    pools = [f.outside.pool for f in compiled(cluster).frontends.values() if isinstance(f.outside, Forward)]
    assert 0 < sum(b.local for pool in pools for b in pool.backends) < SERVICES * 4


def test_each_change_takes_one_endpoint_out_or_brings_it_back(cluster: Cluster) -> None:
    decoder = Decoder(EndpointSlice)
    seen = []
    for line in workload.endpoint_changes(SERVICES, 6):
        event = decoder.event(line)
        assert isinstance(event, Changed)
        cluster.slices.change(event.key, event.object)
        seen.append(backends(compiled(cluster)))
    assert seen == [SERVICES * 8 - 2, SERVICES * 8] * 3


def test_the_list_of_a_large_cluster_comes_in_pages() -> None:
    pages = [Decoder(Service).page(page) for page in workload.service_pages(1200)]
    assert [len(page.objects) for page in pages] == [500, 500, 200]
    assert [bool(page.rest) for page in pages] == [True, True, False]


@pytest.mark.parametrize(("text", "endpoints"), [("3", 4), ("3x4", 4), ("3x250", 250)])
def test_a_shape_has_all_its_endpoints_in_slices_of_a_hundred_at_most(text: str, endpoints: int) -> None:
    shape = Shape.parse(text)
    slices = [workload.endpoint_slice(number, endpoints=shape.endpoints, part=part) for number, part in shape.slices]
    assert max(len(s["endpoints"]) for s in slices) == min(endpoints, 100)
    assert len({s["metadata"]["name"] for s in slices}) == len(slices)
    addresses = [address for s in slices for e in s["endpoints"] for address in e["addresses"]]
    assert len(set(addresses)) == len(addresses) == 3 * endpoints


def test_of_changes_that_pour_in_each_one_is_a_change() -> None:
    shape = Shape(5, 150)
    store = api_server.filled(shape)
    before = store.version
    made, _ = asyncio.run(api_server.pour(store, shape, per_second=1000, seconds=0.1))
    assert 0 < made == store.version - before


@pytest.mark.kernel
def test_the_contenders_ruleset_is_one_that_the_kernel_takes() -> None:
    load = "".join((*kube_proxy_shape.ruleset(SERVICES), *kube_proxy_shape.one_endpoint_gone(3)))
    command = ["unshare", "--net", "sh", "-c", "nft -f - && nft list table ip kube-proxy"]
    listed = subprocess.run(command, input=load, text=True, capture_output=True, check=True).stdout
    assert listed.count("numgen random mod 4") == 2 * (SERVICES - 1)
    assert listed.count("numgen random mod 3") == 2
