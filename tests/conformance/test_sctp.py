"""SCTP is translated too: the kernel follows its associations even where it has no SCTP sockets.

So there is no server to ask. The client sends the first packet of an association (RFC 9260, 3.3.2: INIT) from a raw
socket, and whoever receives it is watched through raw sockets in the pods.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from scapy.layers.inet import IP
from scapy.layers.sctp import SCTP

from conformance.cases import Case, Step
from conformance.control_plane import ControlPlane
from conformance.packet_run import MODES, Mode, forget_flows
from conformance.setting import ADDRESSES
from conformance.words import CLUSTER_IP, CLUSTER_IP6, piece, service
from lab.network.network import Network
from patience import PATIENCE
from sctp import association

pytestmark = pytest.mark.kernel

PORT = {"name": "http", "port": 80, "protocol": "SCTP"}
BACKENDS = ("b1", "b3")


@pytest.fixture(params=MODES, ids=lambda mode: mode.name)
def served(request: pytest.FixtureRequest, machines: Network) -> Iterator[Network]:
    """A Service with an SCTP port in both families, and an endpoint on each node."""
    mode: Mode = request.param
    slices = [piece(*BACKENDS, ports=["http"], ipv6=ipv6) for ipv6 in (False, True)]
    for each in slices:
        each["ports"][0]["protocol"] = "SCTP"
    step = Step(apply=(service(PORT, clusterIPs=[CLUSTER_IP, CLUSTER_IP6]), *slices))
    table = ControlPlane(Case("sctp", (step,))).take(step)
    dataplane = machines["n1"].call(mode.make)
    machines["n1"].call(lambda: dataplane.apply(table))
    yield machines
    machines["n1"].call(dataplane.cleanup)
    machines["n1"].call(forget_flows)  # the next one's association comes from the same port
    dataplane.close()


@pytest.mark.parametrize(("address", "family"), [(CLUSTER_IP, socket.AF_INET), (CLUSTER_IP6, socket.AF_INET6)])
def test_an_association_reaches_a_backend(served: Network, address: str, family: int) -> None:
    """Its port is the backend's, and its checksum (RFC 9260, 6.8: over the ports too) is right again."""
    source = ADDRESSES["c1"][family == socket.AF_INET6]
    with ExitStack() as stack:
        watching = [stack.enter_context(served[pod].call(lambda: raw_socket(family))) for pod in BACKENDS]
        client = stack.enter_context(served["c1"].call(lambda: raw_socket(family)))
        client.sendto(association(40000, 80), (address, 0))
        readable, _, _ = select.select(watching, [], [], PATIENCE)
        assert len(readable) == 1
        received, (peer, *_) = readable[0].recvfrom(2048)
    packet = SCTP(received if family == socket.AF_INET6 else bytes(IP(received).payload))
    assert peer == source
    assert (packet.sport, packet.dport) == (40000, 8080)
    assert bytes(packet) == association(40000, 8080)


def raw_socket(family: int) -> socket.socket:
    return socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP)
