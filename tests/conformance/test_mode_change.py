"""From any mode to any other: new rules in, old rules out, and connections that are open stay open."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from itertools import permutations

import pytest

from conformance.cases import Probe, load
from conformance.control_plane import ControlPlane
from conformance.packet_run import MODES, HeldConnection, Mode, ask, forget_flows
from conformance.setting import ADDRESSES
from conformance.words import CLUSTER_IP, case, http, piece, service, step
from dataplane.ipvs import IpvsDataplane
from lab.network.network import Network

pytestmark = pytest.mark.kernel

N1 = ADDRESSES["n1"][0]
WAYS = (("c1", CLUSTER_IP, 80), ("n1", CLUSTER_IP, 80), ("x1", N1, 30080))  #: client, address, port
(CASE,) = load([case("mode-change", step(service(http(30080)), piece("b1", "b3")))])


#: Connections stay open where both modes leave them to the kernel; the engine's flows are its own.
_SHARING = [mode for mode in MODES if not mode.name.startswith("userspace")]


def _reached(machines: Network, client: str, address: str, port: int) -> set[str]:
    return set(ask(machines[client], Probe({}, client, address, port)).pods)


@pytest.mark.parametrize(("old", "new"), list(permutations(_SHARING, 2)), ids=lambda mode: mode.name)
def test_connections_stay_open_and_new_ones_are_served(old: Mode, new: Mode, machines: Network) -> None:
    n1 = machines["n1"]
    table = ControlPlane(CASE).take(CASE.steps[0])
    before, after = n1.call(old.make), n1.call(new.make)
    try:
        with ExitStack() as held:
            n1.call(partial(before.apply, table))
            connections = [held.enter_context(closing(HeldConnection(machines[c], a, p))) for c, a, p in WAYS]
            answers = [connection.ask() for connection in connections]
            n1.call(partial(after.apply, table))
            assert [connection.ask() for connection in connections] == answers
            # IPVS remembers its connections with its virtual servers, so those go last.
            n1.call(before.leave if isinstance(before, IpvsDataplane) else before.cleanup)
            assert [connection.ask() for connection in connections] == answers
            for way in WAYS:
                assert _reached(machines, *way) == {"b1", "b3"}
            assert not n1.call(after.audit)
    finally:
        n1.call(before.cleanup)
        n1.call(after.cleanup)
        n1.call(forget_flows)
