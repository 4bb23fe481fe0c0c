"""`svcplane replay`: captured packets through the C engine. Needs no root and no cluster, only manifests.

The engine treats them as a node would; what it did and why is told for each, and what it would send on is written to
another capture. The same capture, manifests and seed always give the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from controller.compiler import Compiler
from controller.node import node_view
from controller.objects import Node
from dataplane.errors import InputError
from dataplane.reference import Outcome, Packet
from dataplane.steps import Step
from dataplane.table import Family, ForwardingTable
from dataplane.userspace.engine import Engine
from dataplane.userspace.image import Host
from dataplane.userspace.limits import LINUX_TIMEOUTS, RFC_TIMEOUTS, Limits
from dataplane.userspace.pcap import Capture, read, write
from dataplane.userspace.result import Result
from dataplane.userspace.stepwise.capture import CapturePort
from dataplane.userspace.stepwise.carry import carry
from dataplane.userspace.telling import packet_of, steps
from lab.manifests import load
from lab.network.topology import CLUSTER_CIDRS
from lab.paper import PaperCluster
from svcplane.flags import natural
from svcplane.node_flags import add_node_flags, node_options
from svcplane.question import addresses_of, find_node

_ELSEWHERE = "eth0"  #: where whatever is not of a local pod comes in
_LOOPBACK = ("127.0.0.1", "::1")
_LIMITS = Limits(held=256)
_TIMEOUTS = {"rfc": RFC_TIMEOUTS, "linux": LINUX_TIMEOUTS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("capture", metavar="PCAP", type=Path, help="packets as the node meets them (tcpdump -w, whole)")
    parser.add_argument(
        "-f", "--filename", action="append", required=True, metavar="FILE", help="manifests: a file, a folder or -"
    )
    parser.add_argument("-w", "--write", metavar="PCAP", type=Path, help="write what the node sends on or answers")
    parser.add_argument("--node", default="", help="the node that meets the packets (default: the first)")
    parser.add_argument("--nodes", type=natural, default=2, metavar="N", help="how many nodes to imagine (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="what chance does (default: 0)")
    parser.add_argument("--timeouts", choices=_TIMEOUTS, default="rfc", help="how long flows are known (default: rfc)")
    parser.add_argument("--json", action="store_true", help="one JSON object for each packet")
    parser.add_argument("--why", action="store_true", help="tell the questions and answers for each packet")
    add_node_flags(parser, CLUSTER_CIDRS)


def run(args: argparse.Namespace) -> int:
    node = _imagine(args)
    port = CapturePort(_read(args.capture))
    timeouts = _TIMEOUTS[args.timeouts]
    with _opened(args.write) as file, Engine(node.host, limits=_LIMITS, timeouts=timeouts, seed=args.seed) as engine:
        engine.apply(node.table)
        # All interfaces first: each that is new changes the table, and with it the turns of round robin.
        for name in (node.pod_interface, _ELSEWHERE):
            engine.interface(name)
        for told in _replay(engine, node, port):
            print(json.dumps(told.as_json(), ensure_ascii=False) if args.json else told.as_text(args.why))
        if file:
            write(file, port.sent.link, port.sent.packets)
    return 0


class _ImaginedNode(msgspec.Struct, frozen=True):
    table: ForwardingTable
    host: Host
    pods: frozenset[str]  #: addresses of its pods
    pod_interface: str  #: where they come in, as far as its flags say

    def interface(self, packet: Packet | None) -> str | None:
        """Where a packet came in: a capture does not say, but its source does."""
        if packet is not None and packet.source.address in self.host.addresses:
            return None
        return self.pod_interface if packet is not None and packet.source.address in self.pods else _ELSEWHERE


class _Told(msgspec.Struct, frozen=True):
    """One packet: as it came, what was done, what left, and why.

    One that was `held` is told twice: when it came, and, with the number of the packet it waited for, when it left.
    """

    number: int
    seconds: float  #: since the first packet
    before: Packet | None
    result: Result
    after: Packet | None
    steps: tuple[Step, ...]
    held: bool = False

    def as_text(self, why: bool) -> str:
        result, before = self.result, self.before or "a packet without ports"
        before = "a fragment that waited for it" if self.held else before
        line = f"{self.number:>5} {self.seconds:11.6f} {before}: {_outcome(result)}"
        if self.after is not None and self.after != self.before:
            line += f", as {self.after.source} → {self.after.destination}"
        told = [f"{'':18}{s.rule.value} {s.answer} ({s.looked_at})" for s in self.steps] if why else []
        return "\n".join((line, *told))

    def as_json(self) -> dict[str, Any]:
        result = self.result
        return {
            "number": self.number,
            "waited": self.held,
            "seconds": self.seconds,
            "packet": _packet(self.before),
            "outcome": result.outcome.value,
            "decidedBy": result.rule.value if result.rule else None,
            "reason": result.reason.value if result.reason else None,
            "service": result.frontend.service if result.frontend else None,
            "client": result.client.value if result.client else None,
            "backend": str(result.backend) if result.backend else None,
            "answer": result.reply,
            "newConnection": result.new,
            "masquerade": result.masquerade,
            "senderTold": result.answered,
            "sent": _packet(self.after),
            "steps": [{"question": s.rule.value, "lookedAt": s.looked_at, "answer": s.answer} for s in self.steps],
        }


def _outcome(result: Result) -> str:
    if result.reason is not None:
        return f"{result.outcome.value}, {result.reason.value}"
    if result.answered:
        return f"{result.outcome.value}, and the sender is told"
    return f"{result.outcome.value}{' back to the client' if result.reply else ''}"


def _packet(packet: Packet | None) -> dict[str, str] | None:
    if packet is None:
        return None
    return {"source": str(packet.source), "destination": str(packet.destination), "protocol": str(packet.protocol)}


def _replay(engine: Engine, node: _ImaginedNode, port: CapturePort) -> Iterator[_Told]:
    def where(data: bytes) -> str | None:
        return node.interface(packet_of(data, port.link, None))

    number = 0
    for carried in carry(engine, port, where):
        result, now = carried.result, carried.seconds
        if carried.packet is None:
            yield _Told(number, now, None, result, None, (), held=True)
            continue
        number += 1
        interface = where(carried.packet)
        before = packet_of(carried.packet, port.link, interface)
        after = packet_of(result.data, port.link, interface) if result.outcome is Outcome.FORWARD else None
        yield _Told(number, now, before, result, after, steps(node.table, node.host, before, result, now))


def _imagine(args: argparse.Namespace) -> _ImaginedNode:
    """What the manifests make of the node that was asked for."""
    cluster = PaperCluster(load(args.filename), nodes=args.nodes)
    nodes = cluster.nodes()
    name = args.node or nodes[0]["metadata"]["name"]
    node = find_node(name, nodes)
    addresses = addresses_of(node)
    options = node_options(args, name)
    view = node_view(options, msgspec.convert(node, Node), addresses)
    compiler = Compiler(view)
    table = compiler.update(cluster.known().everything(), view, cluster.service_networks())
    for service, notes in sorted(compiler.complaints.items()):
        for note in notes:
            print(f"svcplane replay: service {'/'.join(service)}: {note}", file=sys.stderr)
    egress = {Family.of(address): address for address in addresses}
    pods = frozenset(
        ip["ip"]
        for pod in cluster.pods()
        if pod["spec"].get("nodeName") == name
        for ip in pod.get("status", {}).get("podIPs") or ()
    )
    return _ImaginedNode(
        table,
        Host(frozenset((*addresses, *_LOOPBACK)), egress),
        pods,
        options.bridge_interface or f"{options.interface_name_prefix or 'veth'}1",
    )


def _read(path: Path) -> Capture:
    try:
        with path.open("rb") as file:
            return read(file, str(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO | None]:
    """A file to write, which becomes the one at `path` at the end; if anything goes wrong, that stays as it was.

    Whether it can be written shows at once. What is no file (a pipe, /dev/stdout) is written to directly.
    """
    if path is None:
        yield None
        return
    plain = not path.exists() or path.is_file()
    target = path.with_name(f".{path.name}.{os.getpid()}") if plain else path
    try:
        with target.open("xb" if plain else "wb") as file:
            yield file
        if plain:
            target.replace(path)
    except BrokenPipeError:
        raise  # whoever reads has left: no fault of the path's
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    finally:
        if plain:
            target.unlink(missing_ok=True)
