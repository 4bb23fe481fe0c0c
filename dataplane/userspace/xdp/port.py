"""The AF_XDP port: which interfaces have sockets, what their programs want, and which ways lead out, kept as they are.

    port = XdpPort(lambda link: link.kind == "veth", DetectLocal(interface="pod-", prefix=True))
    port.steer(table, host)
    engine.start([port])
    port.begin()

What packets do meanwhile is in native/af_xdp.c. This runs beside it, and packets never wait for it.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dataplane.errors import InputError
from dataplane.interface import DataplaneError
from dataplane.netlink.channel import NETLINK_ROUTE, Channel
from dataplane.netlink.routing import LinkState, Routing, links, routing, use
from dataplane.table import DetectLocal, Endpoint, ForwardingTable, FrontendKey
from dataplane.userspace.columns import packed
from dataplane.userspace.held import User
from dataplane.userspace.image import Host
from dataplane.userspace.port import OUTSIDE, PODS, Port, PortCounters
from dataplane.userspace.structures import fields
from dataplane.userspace.xdp import bpf
from dataplane.userspace.xdp.exits import Exit, exits
from dataplane.userspace.xdp.follower import Follower
from dataplane.userspace.xdp.polling import Moderation, Polling
from dataplane.userspace.xdp.program import Maps, steer
from dataplane.userspace.xdp.steering import KEY_SIZE, PREFIX_KEY_SIZE, Steering
from dataplane.userspace.xdp.tun import Tun
from native.library import ffi, lib

_LOG = logging.getLogger(__name__)
_MOST_QUEUES = 64
VETH = "veth"  #: `LinkState.kind` of a virtual cable


class Where(StrEnum):
    """Where the programs run."""

    AUTO = "auto"  #: in the driver if it can, else after it
    NATIVE = "native"
    GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class XdpLimits:
    """How much there may be. A frame takes 2 KiB that cannot be swapped out, and each interface takes up to 4,096."""

    frames: int = 16384
    routes: int = 16384
    endpoints: int = 1 << 20
    prefixes: int = 1 << 17


@dataclass(slots=True)
class _Attached:
    """An interface with sockets and a program."""

    link: LinkState
    sockets: list[int]
    held: list[bpf.Handle] = field(default_factory=list)
    generic: bool = False


class XdpPort(Port):
    """In the calling thread's network namespace, as are all calls later on."""

    def __init__(
        self,
        selected: Callable[[LinkState], bool],
        pods: DetectLocal,
        *,
        where: Where = Where.AUTO,
        limits: XdpLimits = XdpLimits(),
        busy_poll: int = 0,
        spins: int = 20,
        names: frozenset[str] = frozenset(),
    ) -> None:
        """Sockets for the interfaces that are `selected`. `pods` says on which of them
        local pods are. `busy_poll` is in microseconds; `spins` says how often to look for packets before sleeping.
        `names` should be among them: a warning says if one is not there.

        InputError if the kernel has no AF_XDP, or this process may not use it.
        """
        self._selected, self._pods, self._where, self._limits = selected, pods, where, limits
        self._attached: dict[int, _Attached] = {}
        self._steering = Steering()
        self._refused: dict[int, str] = {}
        self._names, self._absent = names, frozenset[str]()
        self._complained = ""
        self._follower: Follower | None = None
        self._polling = Polling() if busy_poll else None
        self._moderation = Moderation()
        self._endpoints, self._prefix_map = _make_maps(limits)
        try:
            super().__init__(_make_port(limits, busy_poll, spins, self._moderation), "AF_XDP")
        except BaseException:
            for handle in (self._endpoints, self._prefix_map, self._moderation):
                handle.close()
            raise
        self._channel = Channel(NETLINK_ROUTE)

    def begin(self) -> None:
        """Attach to interfaces, and follow what becomes of them from now on. OSError if the kernel tells nothing."""
        self._follower = Follower(self)

    def close(self) -> None:
        """Interfaces are as they were before. Nobody may be using the port."""
        if not self.native:
            return
        if self._follower:
            self._follower.close()
        for index in list(self._attached):
            self._detach(index)
        super().close()
        if self._polling:
            self._polling.close()
        for handle in (self._endpoints, self._prefix_map, self._channel, self._moderation):
            handle.close()

    def steer(self, table: ForwardingTable, host: Host, busy: Callable[[User], bool] = lambda user: False) -> None:
        """Want what this table serves. What it no longer has stays wanted while connections go on there: while a
        service port's backend that used it is `busy`.

        Called before a table comes into force, so that nothing is missed. DataplaneError if there is no room.
        """
        self._steering.update(table, host, busy)
        self._write()

    def keep(self, frontend: FrontendKey, backend: Endpoint, user: User, host: Host) -> None:
        """Connections from a frontend to a backend are known that no table may know any more: they are wanted until
        `user` is not busy, see `steer`."""
        self._steering.keep(frontend, backend, user, host)
        self._write()

    def _write(self) -> None:
        """What could not be written is tried again the next time."""
        for map_, roles in ((self._endpoints, self._steering.endpoints), (self._prefix_map, self._steering.prefixes)):
            moved = roles.moved()
            map_.set_all({key: _value(role) for key, role in moved.items() if role})
            map_.delete_all(key for key, role in moved.items() if not role)
            roles.written()

    def follow(self) -> bool:
        """Take notice of how links, routes and neighbours are now. Returns whether an interface must be tried again."""
        wanted = {link.index: link for link in links(self._channel) if link.up and self._selected(link)}
        gone = [i for i, attached in self._attached.items() if not _same(attached.link, wanted.get(i))]
        if gone:
            # First nothing is sent there any more, then it goes.
            self._route(routing(self._channel), without=gone)
            for index in gone:
                self._detach(index)
        for index, link in wanted.items():
            if index not in self._attached:
                self._attach(link)
        self._refused = {index: reason for index, reason in self._refused.items() if index in wanted}
        self._tell_of_absent(self._names - {link.name for link in wanted.values()})
        known = routing(self._channel)
        self._route(known)
        for neighbour in known.neighbours:
            # The kernel sees none of the packets that go there, and would forget it or miss that it has moved.
            if neighbour.stale and neighbour.interface in self._attached:
                use(self._channel, neighbour)
        return bool(self._refused)

    @property
    def interfaces(self) -> dict[str, str]:
        """The interfaces with sockets, and where each one's program runs."""
        return {a.link.name: Where.GENERIC if a.generic else Where.NATIVE for a in self._attached.values()}

    def counted(self) -> dict[str, int]:
        """What became of packets: struct port_counters and struct af_xdp_counters."""
        return {**fields(self.native.counters), **self.ways()}

    def ways(self) -> dict[str, int]:
        """Which ways packets took: struct af_xdp_counters. From any thread, while the port is open."""
        own = ffi.new("struct af_xdp_counters *")
        lib.af_xdp_count(self.native, own)
        return fields(own[0])

    @property
    def counters(self) -> PortCounters:
        self.ways()  # asks the sockets what they have missed
        return super().counters

    # Interfaces

    def _attach(self, link: LinkState) -> None:
        attached = _Attached(link, [])
        try:
            queues = bpf.Map(bpf.XSKMAP, 4, 4, 2 * _MOST_QUEUES)
            attached.held.append(queues)
            self._open_sockets(attached, queues)
            code = steer(Maps(self._endpoints, self._prefix_map, queues), link.mac, lib.AF_XDP_LONGEST)
            program = bpf.Program("svcplane", code)
            attached.held.append(program)
            attached.held.append(self._link(program, attached))
        except (DataplaneError, OSError) as error:
            self._give_back(attached)
            reason = str(error)
            if self._refused.get(link.index) != reason:
                _LOG.warning("AF_XDP: %s is left to the kernel: %s", link.name, reason)
            self._refused[link.index] = reason
            return
        if self._polling:
            self._polling.begin(link.index)
        elif link.kind == VETH and not attached.generic:
            for number, queue in zip(attached.sockets, self._moderation.queues(link.index), strict=False):
                lib.af_xdp_moderate(self.native, number, queue)
        self._refused.pop(link.index, None)
        self._attached[link.index] = attached

    def _tell_of_absent(self, absent: frozenset[str]) -> None:
        for name in sorted(absent - self._absent):
            _LOG.warning(
                "AF_XDP: interface %s (--xdp-interfaces) is not there, or down: it is used once it is up", name
            )
        for name in sorted(self._absent - absent):
            _LOG.info("AF_XDP: interface %s is there now", name)
        self._absent = absent

    def _open_sockets(self, attached: _Attached, queues: bpf.Map) -> None:
        link = attached.link
        config = ffi.new("struct af_xdp_socket_config *")
        config.interface = link.index
        config.kind = PODS if _is_of_pods(link.name, self._pods) else OUTSIDE
        config.mac = link.mac
        for queue in range(min(link.queues, _MOST_QUEUES)):
            config.queue = queue
            number = lib.af_xdp_add(self.native, config)
            if number == -errno.EINVAL and queue > 0:
                return  # the link may have so many queues, but has fewer
            if number < 0:
                raise OSError(-number, f"queue {queue}: {os.strerror(-number)}")
            attached.sockets.append(number)
            for opens in (False, True):
                descriptor = lib.af_xdp_descriptor(self.native, number, opens)
                queues.set(struct.pack("=I", 2 * queue + opens), struct.pack("=I", descriptor))

    def _link(self, program: bpf.Program, attached: _Attached) -> bpf.Link:
        index = attached.link.index
        if self._where is not Where.GENERIC:
            try:
                return bpf.Link(program, index, bpf.NATIVE)
            except DataplaneError as error:
                cannot = isinstance(error.__cause__, OSError) and error.__cause__.errno in (
                    errno.EOPNOTSUPP,
                    errno.EINVAL,
                    errno.ERANGE,
                )
                if self._where is Where.NATIVE or not cannot:
                    raise
        attached.generic = True
        return bpf.Link(program, index, bpf.GENERIC)

    def _detach(self, index: int) -> None:
        if self._polling:
            self._polling.end(index)
        self._give_back(self._attached.pop(index))

    def _give_back(self, attached: _Attached) -> None:
        for handle in reversed(attached.held):
            handle.close()
        for number in attached.sockets:
            lib.af_xdp_remove(self.native, number)

    # Ways out

    def _route(self, known: Routing, without: Iterable[int] = ()) -> None:
        sockets = {i: a.sockets[0] for i, a in self._attached.items() if i not in set(without)}
        ways = exits(known, sockets)
        complaint = "" if known.simple else "there are routing rules besides the usual ones"
        if not lib.af_xdp_route(self.native, _native_routes(ways), len(ways)):
            complaint = f"there are {len(ways)} routes and neighbours, and room for {self._limits.routes}"
        if complaint and complaint != self._complained:
            _LOG.warning("AF_XDP: all packets leave by the kernel's path: %s", complaint)
        self._complained = complaint


def _is_of_pods(name: str, pods: DetectLocal) -> bool:
    if not pods.interface:
        return False
    return name.startswith(pods.interface) if pods.prefix else name == pods.interface


def _value(role: int) -> bytes:
    return struct.pack("=I", role)


def _same(attached: LinkState, now: LinkState | None) -> bool:
    """Whether sockets and program of a link still fit it."""
    return now is not None and (now.mac, now.name) == (attached.mac, attached.name)


def _native_routes(ways: Iterable[Exit]) -> Any:
    ways = tuple(ways)
    routes = ffi.new("struct forwarding_route[]", max(1, len(ways)))
    for native, way in zip(routes, ways, strict=False):
        native.address.bytes = packed(str(way.network.network_address))
        native.mac, native.mtu = way.mac, way.mtu
        native.exit = lib.FORWARDING_KERNEL if way.number is None else way.number
        native.family, native.length = way.network.version, way.network.prefixlen
    return routes


def _make_maps(limits: XdpLimits) -> tuple[bpf.Map, bpf.Map]:
    try:
        endpoints = bpf.Map(bpf.HASH, KEY_SIZE, 4, limits.endpoints)
    except DataplaneError as error:
        raise InputError(f"AF_XDP: {error}: it needs CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW") from error
    try:
        return endpoints, bpf.Map(bpf.LPM_TRIE, PREFIX_KEY_SIZE, 4, limits.prefixes)
    except DataplaneError as error:
        endpoints.close()
        raise InputError(f"AF_XDP: {error}") from error


def _make_port(limits: XdpLimits, busy_poll: int, spins: int, moderation: Moderation) -> Any:
    tun = Tun()
    config = ffi.new("struct af_xdp_config *")
    config.frames, config.routes = limits.frames, limits.routes
    config.tun, config.tun_interface = tun.descriptor, tun.index
    config.busy_poll, config.spins = busy_poll, spins
    config.moderation.descriptor, config.moderation.family = moderation.descriptor, moderation.family
    error = ffi.new("int *")
    port = lib.af_xdp_create(config, error)
    if port:
        return port
    tun.close()
    reasons = {
        -errno.EAFNOSUPPORT: "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)",
        -errno.EPERM: "it needs CAP_NET_RAW and CAP_NET_ADMIN",
        -errno.ENOBUFS: f"{limits.frames} frames are more memory than may be locked (RLIMIT_MEMLOCK)",
    }
    raise InputError(f"AF_XDP: {reasons.get(error[0], os.strerror(-error[0]))}")
