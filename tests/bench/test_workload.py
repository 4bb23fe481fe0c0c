"""The measurements measure what they say."""

from __future__ import annotations

import subprocess

import pytest

from bench import kube_proxy_shape, workload
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


@pytest.mark.kernel
def test_the_contenders_ruleset_is_one_that_the_kernel_takes() -> None:
    load = "".join((*kube_proxy_shape.ruleset(SERVICES), *kube_proxy_shape.one_endpoint_gone(3)))
    command = ["unshare", "--net", "sh", "-c", "nft -f - && nft list table ip kube-proxy"]
    listed = subprocess.run(command, input=load, text=True, capture_output=True, check=True).stdout
    assert listed.count("numgen random mod 4") == 2 * (SERVICES - 1)
    assert listed.count("numgen random mod 3") == 2
