"""Tables to program in a namespace, and a host to try them on."""

from __future__ import annotations

import dataclasses
import select
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from dataplane.nftables import NftablesDataplane
from dataplane.table import (
    Affinity,
    Backend,
    DetectLocal,
    Drop,
    Family,
    Forward,
    ForwardingTable,
    Frontend,
    FrontendKey,
    Pool,
    Protocol,
    Reject,
    Verdict,
)
from patience import PATIENCE


@pytest.fixture(scope="session")
def nft() -> Callable[..., str]:
    """Run nft in the namespace of the calling thread."""

    def run(*arguments: str, script: str | None = None) -> str:
        done = subprocess.run(["nft", *arguments], input=script, capture_output=True, text=True)
        assert done.returncode == 0, f"nft {' '.join(arguments)}: {done.stderr[:2000]}"
        return done.stdout

    return run


class Tables:
    """Makes tables of one family: `pod(3)` is an address, `vip(3)` another."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.any = family.any_address

    def pod(self, number: int) -> str:
        return f"10.244.1.{number}" if self.family is Family.IPV4 else f"fd00:10:244:1::{number}"

    def vip(self, number: int) -> str:
        return f"10.96.0.{number}" if self.family is Family.IPV4 else f"fd00:10:96::{number}"

    def pool(self, *pods: int, local: tuple[int, ...] = (), port: int = 8080, affinity: Affinity | None = None) -> Pool:
        backends = (Backend(self.pod(n), port, n in local) for n in pods)
        return Pool(tuple(sorted(backends, key=str)), affinity)

    def frontend(
        self,
        address: str,
        port: int,
        pod: Verdict,
        node: Verdict | None = None,
        outside: Verdict | None = None,
        protocol: Protocol = Protocol.TCP,
        **more: Any,
    ) -> Frontend:
        key = FrontendKey(address, protocol, port)
        return Frontend(key, f"default/s{port}", pod, node or pod, outside or node or pod, **more)

    def table(self, *frontends: Frontend, **more: Any) -> ForwardingTable:
        network = "10.244.0.0/16" if self.family is Family.IPV4 else "fd00:10:244::/48"
        given: dict[str, Any] = {
            "detect_local": DetectLocal((network,)),
            "node_addresses": frozenset({self.any}),
        } | more
        return ForwardingTable({f.key: f for f in frontends}, **given)

    def everything(self, timeout: int = 10800) -> ForwardingTable:
        """A frontend of every shape that there is."""
        pool, local = self.pool(1, 2, 3, local=(1,)), self.pool(1, local=(1,))
        third = self.pool(2, 3, port=9090)
        memory = Affinity("default/web:http/TCP", timeout)
        kept, kept_local = dataclasses.replace(pool, affinity=memory), dataclasses.replace(local, affinity=memory)
        two_ports = Pool(
            tuple(sorted((*self.pool(1, port=80).backends, *self.pool(2, port=81).backends), key=str)),
            Affinity("default/a name that nft could not read: { } é", 60),
        )
        masquerade = Forward(pool, True)
        networks = (
            ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32")
            if self.family is Family.IPV4
            else ("fd00::/8", "fd00:1::/33", "2001:db8::1/128")
        )
        return self.table(
            self.frontend(self.vip(1), 80, Forward(pool, False), masquerade),
            self.frontend(self.vip(1), 81, masquerade),
            self.frontend(self.vip(1), 82, Forward(pool, False), masquerade, Forward(third, False)),
            self.frontend(self.vip(1), 83, Forward(pool, False), Forward(local, True), Forward(third, False)),
            self.frontend(self.vip(2), 53, Reject(), protocol=Protocol.UDP),
            self.frontend(self.vip(2), 54, Drop(), protocol=Protocol.UDP),
            self.frontend(self.vip(2), 55, Reject(), Drop(), Drop(), protocol=Protocol.SCTP),
            self.frontend(self.vip(2), 56, Reject(), masquerade, Drop(), protocol=Protocol.SCTP),
            self.frontend(self.vip(2), 57, Forward(pool, False), masquerade, Drop(), sources=networks),
            self.frontend(self.vip(2), 58, Reject(), sources=()),
            self.frontend(self.vip(3), 80, Forward(kept, False), Forward(kept, True)),
            self.frontend(self.vip(4), 80, Forward(two_ports, False), protocol=Protocol.UDP),
            self.frontend(self.any, 30080, Forward(kept, False), Forward(kept, True), Forward(kept_local, False)),
            self.frontend(self.any, 30081, Forward(pool, False), masquerade, Forward(local, False)),
            self.frontend(self.any, 30082, Forward(pool, False), masquerade, Drop()),
            self.frontend(self.any, 30083, Reject(), Drop(), Reject(), protocol=Protocol.UDP),
            cluster_ips=frozenset(self.vip(n) for n in (1, 2, 3, 4)),
            service_cidrs=frozenset({"10.96.0.0/12", "10.112.0.0/13", "fd00:10:96::/108"}),
        )


@pytest.fixture(params=list(Family), ids=lambda f: f"IPv{f.value}")
def tables(request: pytest.FixtureRequest) -> Tables:
    """Once for each family."""
    return Tables(request.param)


@pytest.fixture
def ipv4() -> Tables:
    return Tables(Family.IPV4)


@pytest.fixture
def word(tables: Tables) -> str:
    """What nft calls the family."""
    return "ip" if tables.family is Family.IPV4 else "ip6"


@pytest.fixture(scope="session")
def both_families() -> ForwardingTable:
    """Everything, in both families at once."""
    four, six = Tables(Family.IPV4).everything(), Tables(Family.IPV6).everything()
    return ForwardingTable(
        {**four.frontends, **six.frontends},
        four.cluster_ips | six.cluster_ips,
        four.service_cidrs,
        frozenset({"192.0.2.1", "::"}),
        DetectLocal((*four.detect_local.networks, *six.detect_local.networks)),
    )


@pytest.fixture(scope="session")
def programmed(in_new_namespace: Callable[..., Any]) -> Callable[..., Any]:
    """Apply tables in a new namespace, one after the other, and return what a function then finds."""

    def run(look: Callable[[NftablesDataplane], Any], *given: ForwardingTable) -> Any:
        def work() -> Any:
            dataplane = NftablesDataplane()
            try:
                for table in given:
                    dataplane.apply(table)
                return look(dataplane)
            finally:
                dataplane.close()

        return in_new_namespace(work)

    return run


class Host:
    """The whole network in one namespace: every pod's address is on `lo`, and routes lead everywhere through it.

    So packets to a service address pass output, prerouting and input, and what answers shows where they went.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.type = socket.AF_INET if tables.family is Family.IPV4 else socket.AF_INET6
        self._servers: list[socket.socket] = []
        six = tables.family is Family.IPV6
        ip = ["ip", "-6"] if six else ["ip", "-4"]
        subprocess.run([*ip, "link", "set", "lo", "up"], check=True)
        for number in range(1, 30):
            address = [f"{tables.pod(number)}/128", "nodad"] if six else [f"{tables.pod(number)}/32"]
            subprocess.run([*ip, "address", "add", *address[:1], "dev", "lo", *address[1:]], check=True)
        subprocess.run([*ip, "route", "add", "default", "dev", "lo"], check=True)

    def serve(self, *pods: int, port: int = 8080, kind: int = socket.SOCK_STREAM) -> None:
        """Listen on these pods' addresses."""
        for pod in pods:
            server = socket.socket(self.type, kind)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((self.tables.pod(pod), port))
            if kind == socket.SOCK_STREAM:
                server.listen(64)
            self._servers.append(server)

    def connect(self, to: str, port: int, source: str) -> socket.socket:
        """A new TCP connection from this source."""
        client = socket.socket(self.type)
        client.settimeout(PATIENCE)
        client.bind((source, 0))
        client.connect((to, port))
        return client

    def accepted(self, count: int) -> list[str]:
        """The pod's address of each connection that was made since the last call, which are so many.

        Who has connected knows of it before who listens does: the last packet of the handshake is still on its way.
        """
        found: list[str] = []
        while len(found) < count:
            ready, _, _ = select.select(self._servers, [], [], PATIENCE)
            assert ready, f"{count} connections were made, and {len(found)} have come"
            for server in ready:
                connection, _ = server.accept()
                with connection:
                    found.append(str(connection.getsockname()[0]))
        return found

    def answered(self, to: str, port: int, source: str) -> str:
        """The pod's address behind a new TCP connection from this source."""
        with self.connect(to, port, source):
            (pod,) = self.accepted(1)
        return pod

    def close(self) -> None:
        for server in self._servers:
            server.close()


@pytest.fixture
def host(tables: Tables) -> Callable[[], Host]:
    """Make a Host in the calling thread's namespace."""
    return lambda: Host(tables)
