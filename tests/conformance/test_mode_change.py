"""From any mode to any other: new rules in, old rules out, and connections that are open stay open."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from itertools import permutations

import pytest

from conformance.cases import Probe, load
from conformance.control_plane import ControlPlane
from conformance.packet_run import MODES, PATIENCE, HeldConnection, Mode, ask, forget_flows
from conformance.setting import ADDRESSES
from conformance.words import CLUSTER_IP, case, http, piece, service, step
from dataplane.ipvs import IpvsDataplane
from lab.network.network import Network

pytestmark = pytest.mark.kernel

N1 = ADDRESSES["n1"][0]
WAYS = (("c1", CLUSTER_IP, 80), ("n1", CLUSTER_IP, 80), ("x1", N1, 30080))  #: client, address, port
(CASE,) = load([case("mode-change", step(service(http(30080)), piece("b1", "b3")))])


#: One port of userspace mode is enough: the engine and its flows are the same behind all of them.
_TRIED = [mode for mode in MODES if mode.name not in ("userspace-xdp", "userspace-python")]


def _all_are_served(machines: Network) -> None:
    for client, address, port in WAYS:
        seen = ask(machines[client], Probe({}, client, address, port, "TCP", 12), PATIENCE)
        assert not seen.errors, f"{client}: {seen}"
        assert seen.pods.keys() <= {"b1", "b3"}


def _keeps_connections(old: Mode, new: Mode) -> bool:
    """Where both modes leave them to the kernel, and where the engine takes over what the kernel knows of them.

    What the engine knows, the kernel is not told; and nobody has seen yet what becomes of connections of IPVS.
    """
    return old.name != "userspace" and (old.name, new.name) != ("ipvs", "userspace")


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
            ways = WAYS if _keeps_connections(old, new) else ()
            connections = [held.enter_context(closing(HeldConnection(machines[c], a, p))) for c, a, p in ways]
            answers = [connection.ask() for connection in connections]
            n1.call(partial(after.apply, table))
            assert [connection.ask() for connection in connections] == answers
            _all_are_served(machines)
            # IPVS remembers its connections with its virtual servers, so those go last.
            n1.call(before.leave if isinstance(before, IpvsDataplane) else before.cleanup)
            assert [connection.ask() for connection in connections] == answers
            _all_are_served(machines)
            assert not n1.call(after.audit)
    finally:
        for dataplane in (before, after):
            n1.call(dataplane.cleanup)
            dataplane.close()
        n1.call(forget_flows)
