"""Worlds on machines that SSH reaches: the client on one, the node on the next, the backends on the third.

    client's machine          node's machine            backends' machine
    +-----------------+       +------------------+      +------------------+
    | eth0 of client 1 ======== pod-c1    pod-b1 ======== eth0 of b1       |
    +-----------------+       | node 1    pod-b2 ======== eth0 of b2 ...   |
                              +------------------+      +------------------+

As at home each contender has a world of its own, of network namespaces with the same names and addresses in them; what
is a virtual cable there is a VXLAN (RFC 7348) between two machines here. So contenders are measured in turns, no rule
ever comes into a machine's own tables, and all is gone with the namespaces. A tunnel costs every packet something,
also those of the ceiling. Two of the three may be one machine: then their cables are as at home.

The API server stays with the harness. SSH brings its port to a socket in the node's file system, and a relay
(`relay.py`) in each node from there to where the agents look for it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from bench.harness import cluster
from bench.harness.api_server import PORT
from bench.harness.host import CommandFailedError, Host, Log, Program, SshHost, Words
from bench.harness.world import INTERFACE, World
from dataplane.errors import InputError

VXLAN_PORT = 4790  #: not the usual one, which the machines' own pod network may have
VXLAN_MTU = 1450  #: 1500 without the headers of the tunnel
CABLES = 1 + len(cluster.BACKENDS)  #: in each world


@dataclass(frozen=True)
class Place:
    """A machine as SSH calls it, and the address by which the other machines reach it."""

    name: str
    address: str

    @staticmethod
    def parse(text: str) -> Place:
        """``NAME/ADDRESS``. InputError if it is not."""
        name, _, address = text.partition("/")
        try:
            return Place(name, str(IPv4Address(address)))
        except ValueError:
            raise InputError(f"machine {text!r}: expected NAME/ADDRESS, like worker1/192.168.56.11") from None


@dataclass(frozen=True)
class End:
    """One end of a cable: an interface in a namespace of a machine."""

    place: Place
    namespace: str
    interface: str


class InNamespace:
    """A network namespace of another host."""

    def __init__(self, host: Host, namespace: str) -> None:
        self._host = host
        self._inside = ("ip", "netns", "exec", namespace)
        self.name = f"{host.name}, {namespace}"

    def run(self, words: Words, *, stdin: str = "", timeout: float = 60.0) -> str:
        return self._host.run([*self._inside, *words], stdin=stdin, timeout=timeout)

    def start(self, words: Words, *, log: Log = None) -> Program:
        return self._host.start([*self._inside, *words], log=log)

    def bring(self, file: Path) -> str:
        return self._host.bring(file)


class Machines:
    """Three machines that worlds are made on."""

    def __init__(self, places: Sequence[Place], options: Sequence[str] = ()) -> None:
        """`places` are the client's, the node's and the backends'; `options` are more words for ssh.

        InputError if they are not three.
        """
        if len(places) != 3:
            raise InputError(f"machines: expected three, for client, node and backends, got {len(places)}")
        self.client, self.node, self.backends = places
        self._ssh = ("ssh", "-l", "root", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", *options)
        self._folder = tempfile.TemporaryDirectory(prefix="bench-ssh-")
        self._connections: list[subprocess.Popen[bytes]] = []
        self._hosts: Mapping[str, SshHost] = {
            place.name: SshHost(
                place.name, ssh=self._ssh, commands=self._share(place, "c"), programs=self._share(place, "p")
            )
            for place in {place.name: place for place in places}.values()
        }
        self._socket = f"{SshHost.FOLDER}/api-{os.getpid()}"
        self._worlds = 0

    @property
    def described(self) -> Mapping[str, str]:
        """What a report must tell of them. InputError if one cannot be used."""
        told = {}
        for role, place in (("client", self.client), ("node", self.node), ("backends", self.backends)):
            try:
                said = self._hosts[place.name].run(["sh", "-c", "id -u; uname -r; nproc"]).split()
            except CommandFailedError as error:
                raise InputError(f"machine {place.name}: {error}") from None
            if said[0] != "0":
                raise InputError(f"machine {place.name}: expected to be root there, got user {said[0]}")
            told[f"machine of the {role}"] = f"{place.name}, Linux {said[1]}, {said[2]} processors"
        return told

    @contextmanager
    def world(self, lab: str) -> Iterator[World]:
        """One world; namespaces whose names begin with `lab`. It ends with the context."""
        self._worlds += 1
        client, node = End(self.client, f"{lab}-c1", INTERFACE), f"{lab}-n1"
        backends = [End(self.backends, f"{lab}-b{n}", INTERFACE) for n in range(1, CABLES)]
        hosts = self._hosts
        first = (os.getpid() % 8192) * 2048 + self._worlds * CABLES  # VXLAN identifiers have 24 bits
        with ExitStack() as stack:
            namespaces = (
                (self.client, client.namespace),
                (self.node, node),
                *((b.place, b.namespace) for b in backends),
            )
            for place, gone in by_place((place, f"ip netns del {name}") for place, name in namespaces).items():
                stack.callback(_forget, hosts[place.name], gone)
            for place, lines in building(client, End(self.node, node, ""), backends, first).items():
                _script(hosts[place.name], lines)
            at_node = InNamespace(hosts[self.node.name], node)
            relay = at_node.start(
                ["python3", at_node.bring(Path(__file__).with_name("relay.py")), str(PORT), self._socket]
            )
            stack.callback(relay.stop)
            if relay.read_line() != "ready\n":
                raise CommandFailedError(f"{at_node.name}: the relay did not start")
            yield World(
                client=InNamespace(hosts[self.client.name], client.namespace),
                node=at_node,
                backends=[InNamespace(hosts[end.place.name], end.namespace) for end in backends],
                gateway=at_node.run(["cat", "/sys/class/net/pod-c1/address"]).strip(),
                node_processors=range(int(at_node.run(["nproc", "--all"]))),
            )

    @contextmanager
    def reaching(self, port: int) -> Iterator[None]:
        """Meanwhile the nodes reach the API server, which is at this port of 127.0.0.1 here."""
        node = self._hosts[self.node.name]
        node.run(["rm", "-f", self._socket])
        words = ("-o", "ExitOnForwardFailure=yes", "-R", f"{self._socket}:127.0.0.1:{port}", self.node.name)
        # A shell that says a word: then the socket is there.
        tunnel = subprocess.Popen(
            [*self._ssh, *words, "echo ready; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert tunnel.stdout is not None
            if tunnel.stdout.readline() != "ready\n":
                raise CommandFailedError(f"{self.node.name}: SSH does not forward {self._socket}")
            yield
        finally:
            tunnel.terminate()  # by itself it would wait for the agents' connections
            tunnel.communicate()
            node.run(["rm", "-f", self._socket])

    def close(self) -> None:
        for connection in self._connections:
            connection.terminate()
            connection.wait()
        self._folder.cleanup()

    def _share(self, place: Place, kind: str) -> tuple[str, ...]:
        """Open a connection, and say by which words others use it; who comes too early makes one of its own."""
        words = ("-o", f"ControlPath={self._folder.name}/{kind}-%C")
        nothing = subprocess.DEVNULL
        command = [*self._ssh, *words, "-M", "-N", place.name]
        self._connections.append(subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing))
        return words


def by_place(lines: Iterable[tuple[Place, str]]) -> Mapping[Place, Sequence[str]]:
    """The lines of each machine, in the order in which they came."""
    sorted_out: dict[Place, list[str]] = {}
    for place, line in lines:
        sorted_out.setdefault(place, []).append(line)
    return sorted_out


def building(client: End, node: End, backends: Sequence[End], first: int) -> Mapping[Place, Sequence[str]]:
    """The commands, machine by machine, that make a world; its tunnels have the identifiers from `first` on."""
    lines: list[tuple[Place, str]] = []
    for end in (client, node, *backends):
        lines += [
            (end.place, f"ip netns add {end.namespace}"),
            (end.place, f"ip -n {end.namespace} link set lo up"),
        ]
    lines += [
        (node.place, f"ip -n {node.namespace} addr add {cluster.NODE_ADDRESS}/32 dev lo"),
        (node.place, f"ip netns exec {node.namespace} sysctl -qw net.ipv4.ip_forward=1"),
    ]
    addresses = (cluster.CLIENT, *cluster.BACKENDS)
    for number, (end, address) in enumerate(zip((client, *backends), addresses, strict=True), first):
        at_node = f"pod-{end.namespace.rpartition('-')[2]}"
        for place, commands in cable(end, End(node.place, node.namespace, at_node), number).items():
            lines += [(place, command) for command in commands]
        lines += [
            (end.place, f"ip -n {end.namespace} addr add {address}/32 dev {end.interface}"),
            (end.place, f"ip -n {end.namespace} route add {cluster.NODE_ADDRESS} dev {end.interface}"),
            (end.place, f"ip -n {end.namespace} route add default via {cluster.NODE_ADDRESS}"),
            (
                end.place,
                f"ip netns exec {end.namespace} sysctl -qw 'net.ipv4.ip_local_port_range=10000 65000'",
            ),
            (node.place, f"ip -n {node.namespace} route add {address} dev {at_node}"),
        ]
    return by_place(lines)


def cable(one: End, other: End, number: int) -> Mapping[Place, Sequence[str]]:
    """The commands, machine by machine, that join two ends; `number` tells cables between two machines apart."""
    up = {end: f"ip -n {end.namespace} link set {end.interface} up" for end in (one, other)}
    if one.place == other.place:
        veth = (
            f"ip link add {one.interface} netns {one.namespace} type veth "
            f"peer name {other.interface} netns {other.namespace}"
        )
        return {one.place: [veth, *up.values()]}
    return {
        here.place: [
            f"ip link add vx{number} mtu {VXLAN_MTU} type vxlan id {number} "
            f"local {here.place.address} remote {there.place.address} dstport {VXLAN_PORT}",
            f"ip link set vx{number} netns {here.namespace} name {here.interface}",
            up[here],
        ]
        for here, there in ((one, other), (other, one))
    }


def of_vagrant(folder: Path) -> Machines:
    """The machines of a Vagrantfile, as `vagrant ssh-config` tells them. InputError if they do not run."""
    config = folder / ".vagrant" / "ssh-config"
    if not config.exists():
        try:
            run = subprocess.run(["vagrant", "ssh-config"], cwd=folder, capture_output=True, text=True)
        except FileNotFoundError:
            raise InputError(f"--vagrant: no vagrant here, and no {config}") from None
        if run.returncode != 0:
            raise InputError("--vagrant: vagrant ssh-config fails: expected machines that run (vagrant up)")
        config.parent.mkdir(exist_ok=True)
        config.write_text(run.stdout)
    names = (("control", 10), ("worker1", 11), ("worker2", 12))
    return Machines([Place(name, f"192.168.56.{number}") for name, number in names], ["-F", str(config)])


def _script(host: Host, lines: Sequence[str]) -> None:
    host.run(["sh", "-e"], stdin="\n".join(lines) + "\n")


def _forget(host: Host, lines: Sequence[str]) -> None:
    with suppress(CommandFailedError):  # some may not have come to be
        host.run(["sh"], stdin="\n".join(lines) + "\n")
