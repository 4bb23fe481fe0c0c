"""From any mode to any other: new rules in, old rules out, and connections that are open stay open."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from itertools import permutations

import pytest

from conformance.cases import Probe, load
from conformance.control_plane import ControlPlane
from conformance.packet_run import (
    MODES,
    ClosableDataplane,
    HeldConnection,
    HeldFlow,
    Mode,
    ask,
    forget_flows,
)
from conformance.words import BOTH, CLUSTER_IP, CLUSTER_IP6, N1, N1_6, case, dns, http, piece, service, step
from dataplane.ipvs import IpvsDataplane
from dataplane.userspace.dataplane import UserspaceDataplane
from lab.network.network import Network
from patience import PATIENCE

pytestmark = pytest.mark.kernel

WAYS = (  #: client, address, port
    ("c1", CLUSTER_IP, 80),
    ("n1", CLUSTER_IP, 80),
    ("b1", CLUSTER_IP, 80),
    ("x1", N1, 30080),
    ("c1", CLUSTER_IP6, 80),
    ("x1", N1_6, 30080),
)
DATAGRAMS = (("c1", CLUSTER_IP, 53), ("x1", N1, 30053), ("c1", CLUSTER_IP6, 53))
SERVICE = service(http(30080), dns(30053), clusterIPs=BOTH)
(CASE,) = load([case("mode-change", step(SERVICE, piece("b1", "b3"), piece("b1", "b3", ipv6=True)))])


#: One port of userspace mode is enough: the engine and its flows are the same behind all of them.
_TRIED = [mode for mode in MODES if mode.name not in ("userspace-xdp", "userspace-python")]


def _all_are_served(machines: Network) -> None:
    for client, address, port in WAYS:
        seen = ask(machines[client], Probe({}, client, address, port, "TCP", 12), PATIENCE)
        assert not seen.errors, f"{client}: {seen}"
        assert seen.pods.keys() <= {"b1", "b3"}


def _leave(dataplane: ClosableDataplane) -> None:
    """What translates by itself knows more than its rules, and not just forgets it."""
    if isinstance(dataplane, IpvsDataplane | UserspaceDataplane):
        dataplane.leave()
    else:
        dataplane.cleanup()


@pytest.mark.parametrize(("old", "new"), list(permutations(_TRIED, 2)), ids=lambda mode: mode.name)
def test_new_connections_are_served_all_the_time_and_those_that_can_be_kept_stay_open(
    old: Mode, new: Mode, machines: Network
) -> None:
    n1 = machines["n1"]
    table = ControlPlane(CASE).take(CASE.steps[0])
    before, after = n1.call(old.make), n1.call(new.make)
    try:
        with ExitStack() as held:
            n1.call(partial(before.apply, table))
            connections: list[HeldConnection | HeldFlow] = [
                held.enter_context(closing(HeldConnection(machines[c], a, p))) for c, a, p in WAYS
            ]
            connections += [held.enter_context(closing(HeldFlow(machines[c], a, p))) for c, a, p in DATAGRAMS]
            answers = [connection.ask() for connection in connections]
            n1.call(partial(after.apply, table))
            assert [connection.ask() for connection in connections] == answers
            _all_are_served(machines)
            n1.call(partial(_leave, before))
            assert [connection.ask() for connection in connections] == answers
            _all_are_served(machines)
            assert not n1.call(after.audit)
    finally:
        for dataplane in (before, after):
            n1.call(dataplane.cleanup)
            dataplane.close()
        n1.call(forget_flows)
