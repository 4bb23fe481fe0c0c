"""With a kernel that has IPVS: what is there is what should be, what is not ours stays, what is open ends by itself."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dataplane.interface import DataplaneError
from dataplane.ipvs import IpvsDataplane, kernel
from dataplane.ipvs.kernel import Ipvs, ServerKey, Service
from dataplane.table import (
    Affinity,
    Backend,
    DetectLocal,
    Endpoint,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
)
from strategies import tables

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel_with_ipvs")]

VIP = FrontendKey("10.96.0.10", Protocol.TCP, 80)
ONE, OTHER = Backend("10.244.1.21", 8080, True), Backend("10.244.1.22", 8080, True)
FOREIGN = ServerKey(Family.IPV4, frontend=FrontendKey("203.0.113.1", Protocol.TCP, 443))


def table(*backends: Backend, affinity: Affinity | None = None) -> ForwardingTable:
    forward = Forward(Pool(backends, affinity), False)
    frontend = Frontend(VIP, "default/web", forward, forward, forward)
    return ForwardingTable({VIP: frontend} if backends else {}, detect_local=DetectLocal(("10.244.0.0/16",)))


def state(_: object = None) -> dict[ServerKey, tuple[Service, dict[Endpoint, int]]]:
    with closing(Ipvs()) as ipvs:
        return {
            key: (service, {e: d.weight for e, d in ipvs.destinations(key).items()})
            for key, service in ipvs.services().items()
        }


@given(st.lists(tables(), min_size=2, max_size=4))
@settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_sequence_of_tables_ends_like_one_cold_apply_of_the_last(
    programmed: Callable[..., Any], given_tables: list[ForwardingTable]
) -> None:
    def look(dataplane: IpvsDataplane) -> object:
        assert not dataplane.audit()
        assert not dataplane.tampered()
        assert dataplane.apply(given_tables[-1]).operations == 0
        return state()

    assert programmed(look, *given_tables) == programmed(look, given_tables[-1])


def test_what_is_not_ours_is_never_touched(in_new_namespace: Callable[..., Any]) -> None:
    def work() -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with closing(Ipvs()) as ipvs, closing(IpvsDataplane()) as dataplane:
            backend = kernel.put_destination(FOREIGN, Endpoint("10.9.9.9", 443), 1, new=True)
            ipvs.carry_out([kernel.put_service(FOREIGN, Service("rr", 0, 0), new=True), backend])
            before = state()[FOREIGN]
            dataplane.apply(table(ONE))
            dataplane.apply(ForwardingTable())
            assert not dataplane.audit()
            dataplane.cleanup()
            assert state() == {FOREIGN: before}

    in_new_namespace(work)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_virtual_server_of_somebody_else_at_a_service_s_address_stays_and_the_service_is_served(
    in_new_namespace: Callable[..., Any], when: str, caplog: pytest.LogCaptureFixture
) -> None:
    sticky = table(ONE, OTHER, affinity=Affinity("default/web", 60))
    theirs = ServerKey(Family.IPV4, frontend=VIP)

    def make_theirs(ipvs: Ipvs) -> None:
        backend = kernel.put_destination(theirs, Endpoint("10.9.9.9", 443), 1, new=True)
        ipvs.carry_out([kernel.put_service(theirs, Service("wlc", 0, 0), new=True), backend])

    def work() -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with closing(Ipvs()) as ipvs, closing(IpvsDataplane()) as dataplane:
            if when == "meanwhile":
                dataplane.apply(ForwardingTable())
            make_theirs(ipvs)
            before = state()[theirs]
            dataplane.apply(sticky)
            found = state()
            assert found.pop(theirs) == before
            ((service, weights),) = found.values()
            assert (service.scheduler, set(weights)) == ("mh", {ONE.endpoint, OTHER.endpoint})
            assert "somebody else has a virtual server at 10.96.0.10:80/TCP (default/web)" in caplog.text
            assert not dataplane.audit()

            ipvs.carry_out([kernel.delete_service(theirs)])
            assert "where nobody else has one now" in str(dataplane.audit())
            dataplane.apply(sticky)
            assert [service.scheduler for service, _ in state().values()] == ["rr"]
            assert not dataplane.audit()

    in_new_namespace(work)


def test_after_cleanup_nothing_is_left(in_new_namespace: Callable[..., Any]) -> None:
    def left() -> str:
        commands = (
            ["nft", "list", "ruleset"],
            ["ip", "rule"],
            ["ip", "-6", "rule"],
            ["ip", "route", "show", "table", "all"],
        )
        return "".join(subprocess.run(c, capture_output=True, text=True, check=True).stdout for c in commands)

    def work() -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        before = left()
        with closing(IpvsDataplane()) as dataplane:
            dataplane.apply(table(ONE, OTHER, affinity=Affinity("default/web", 60)))
            assert left() != before
            dataplane.cleanup()
            assert left() == before
            assert state() == {}
            dataplane.cleanup()

    in_new_namespace(work)


@pytest.mark.parametrize(
    "tamper",
    [
        ["ipvsadm", "-C"],
        ["ip", "rule", "del", "priority", "101"],
        ["nft", "delete", "table", "ip", "svcplane-ipvs"],
        ["nft", "add", "rule", "ip", "svcplane-ipvs", "refuse", "accept"],
    ],
    ids=" ".join,
)
def test_whoever_tampers_is_noticed_and_it_is_repaired(in_new_namespace: Callable[..., Any], tamper: list[str]) -> None:
    def work() -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with closing(IpvsDataplane()) as dataplane:
            dataplane.apply(table(ONE, OTHER))
            assert not dataplane.tampered()
            if tamper[0] == "ipvsadm":
                with closing(Ipvs()) as ipvs:
                    ipvs.carry_out([kernel.delete_service(key) for key in state()])
            else:
                subprocess.run(tamper, check=True)
            assert dataplane.tampered()
            assert dataplane.audit()
            assert dataplane.apply(table(ONE, OTHER)).full
            assert not dataplane.audit()
            assert not dataplane.tampered()

    in_new_namespace(work)


def test_an_unknown_virtual_server_s_refusal_says_what_was_tried(in_new_namespace: Callable[..., Any]) -> None:
    def work() -> None:
        with (
            closing(Ipvs()) as ipvs,
            pytest.raises(DataplaneError, match=r"cannot add real server 10\.244\.1\.21:8080"),
        ):
            ipvs.carry_out([kernel.put_destination(FOREIGN, ONE.endpoint, 1, new=True)])

    in_new_namespace(work)


class Host:
    """The whole network in one namespace: the pods' addresses are on `lo`."""

    def __init__(self) -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for backend in (ONE, OTHER):
            subprocess.run(["ip", "address", "add", f"{backend.address}/32", "dev", "lo"], check=True)
        subprocess.run(["ip", "route", "add", "default", "dev", "lo"], check=True)

    def listen(self, backend: Backend) -> socket.socket:
        return socket.create_server((backend.address, backend.port))

    def connect(self) -> socket.socket:
        return socket.create_connection((VIP.address, VIP.port), timeout=20)


def echoed(connection: socket.socket, server: socket.socket) -> bool:
    connection.sendall(b"x")
    server.settimeout(20)
    return server.recv(1) == b"x"


def test_an_open_connection_goes_on_when_its_real_server_leaves_and_the_server_goes_when_it_ends(
    in_new_namespace: Callable[..., Any],
) -> None:
    def work() -> None:
        host = Host()
        with closing(IpvsDataplane()) as dataplane, host.listen(ONE) as one, host.listen(OTHER):
            dataplane.apply(table(ONE))
            client = host.connect()
            served, _ = one.accept()
            dataplane.apply(table(OTHER))
            ((_, weights),) = state().values()
            assert weights == {ONE.endpoint: 0, OTHER.endpoint: 1}
            assert not dataplane.audit()
            assert echoed(client, served)
            assert not dataplane.leave()
            assert echoed(client, served)
            # A reset is over at once; an ordinary end is remembered for two minutes.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            served.close()
            for _ in range(300):
                if dataplane.leave():
                    break
                subprocess.run(["sleep", "0.1"], check=True)
            assert state() == {}

    in_new_namespace(work)
