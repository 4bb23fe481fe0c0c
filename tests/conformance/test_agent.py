"""The agent, started as kube-proxy is, sends packets where kube-proxy sent them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from conformance.agent_run import NFTABLES, AgentOnN1, AgentRun, flags_of
from conformance.cases import Case, recorded_cases
from conformance.more_cases import more_cases
from lab.api.errors import ApiError
from lab.network.network import Network

pytestmark = pytest.mark.kernel

#: Those that want an agent with the same flags follow each other.
CASES = sorted((*recorded_cases(), *more_cases()), key=lambda case: (flags_of(case.options), case.node_zone or ""))


#: Cases with objects that an API server refuses, so no agent is ever told of them; the dataplanes' rows have them all.
REFUSED = {
    "health-check-port-moves-and-goes": "spec.healthCheckNodePort",
    "etp-local-means-nothing-inside": "spec.externalTrafficPolicy",
    "cluster-ip-with-leading-zeros": "spec.clusterIPs",
}


@pytest.fixture(scope="module")
def agent(machines: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentOnN1]:
    running = AgentOnN1(machines["n1"], tmp_path_factory.mktemp("agent"))
    yield running
    running.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_agent_sends_packets_where_kube_proxy_sent_them(case: Case, machines: Network, agent: AgentOnN1) -> None:
    refused = REFUSED.get(case.name)
    with pytest.raises(ApiError, match=refused) if refused else contextlib.nullcontext():
        assert AgentRun(case, NFTABLES, machines, agent=agent).run() == []
