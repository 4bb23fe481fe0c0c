"""The kernel's virtual servers, over generic netlink (linux/ip_vs.h). What is ours among them, bears our brand.

pyroute2 knows these messages too, but not all that is needed here (IPv6 netmasks, several requests at once), so they
are packed here; the tests compare them with its.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from dataplane.interface import DataplaneError
from dataplane.netlink import attributes
from dataplane.netlink.attributes import attribute, nested, number_of, string, text_of
from dataplane.netlink.channel import Channel, NetlinkError, Refusal
from dataplane.table import Endpoint, Family, FrontendKey, Protocol

_NETLINK_GENERIC = 16
_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2

_CMD_ATTR_SERVICE, _CMD_ATTR_DEST = 1, 2
_CMD_ATTR_TIMEOUT_TCP, _CMD_ATTR_TIMEOUT_TCP_FIN, _CMD_ATTR_TIMEOUT_UDP = 4, 5, 6
_SVC_AF, _SVC_PROTOCOL, _SVC_ADDR, _SVC_PORT, _SVC_FWMARK = 1, 2, 3, 4, 5
_SVC_SCHED_NAME, _SVC_FLAGS, _SVC_TIMEOUT, _SVC_NETMASK = 6, 7, 8, 9
_DEST_ADDR, _DEST_PORT, _DEST_FWD_METHOD, _DEST_WEIGHT, _DEST_U_THRESH, _DEST_L_THRESH = 1, 2, 3, 4, 5, 6
_DEST_ACTIVE_CONNS, _DEST_INACT_CONNS, _DEST_ADDR_FAMILY = 7, 8, 11
_MASQUERADING = 0  # IP_VS_CONN_F_MASQ: translated, in both directions

PERSISTENT = 0x1  #: IP_VS_SVC_F_PERSISTENT
_HASHED = 0x2  # IP_VS_SVC_F_HASHED: the kernel's own
HASH_PORT = 0x10  #: IP_VS_SVC_F_SCHED_MH_PORT (and SCHED_SH_PORT): by the client's port too, not only its address
#: IP_VS_SVC_F_SCHED3: a flag for schedulers, of no use to any of them. It tells our virtual servers from others'.
BRAND = 0x20

_ABSENT = (errno.ENOENT, errno.ESRCH)

_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_LENGTHS = {Family.IPV4: 4, Family.IPV6: 16}
_PROTOCOLS = {protocol.number: protocol for protocol in Protocol}
_U16, _U32, _FLAGS = struct.Struct("=H"), struct.Struct("=I"), struct.Struct("=II")


class Command(IntEnum):
    """IPVS_CMD_*."""

    NEW_SERVICE = 1
    SET_SERVICE = 2
    DEL_SERVICE = 3
    GET_SERVICE = 4
    NEW_DEST = 5
    SET_DEST = 6
    DEL_DEST = 7
    GET_DEST = 8
    SET_CONFIG = 12
    GET_INFO = 15


class ServerKey(NamedTuple):
    """How a packet finds a virtual server: by its mark, or, if that is 0, by where it goes."""

    family: Family
    mark: int = 0
    frontend: FrontendKey | None = None

    def __str__(self) -> str:
        return str(self.frontend) if self.frontend else f"mark {self.mark:#010x} ({self.family.word})"


class Service(NamedTuple):
    """A virtual server without those it gives to. `seconds` is how long a client stays with one, 0 if it does not."""

    scheduler: str
    flags: int
    seconds: int

    def __str__(self) -> str:
        stays = f", clients stay {self.seconds} s" if self.flags & PERSISTENT else ""
        return f"{self.scheduler}{stays}"


class Destination(NamedTuple):
    """A real server as the kernel lists it."""

    weight: int
    connections: int  #: active ones, and those that have ended but are remembered


Request = tuple[Command, bytes, str]
"""Command, body, and words for what it does."""


class TakenError(DataplaneError):
    """Somebody else has a virtual server where one of ours should be."""


class Ipvs:
    """A socket to the IPVS of the network namespace in which it is made. DataplaneError where there is none."""

    def __init__(self) -> None:
        try:
            self._channel = Channel(_NETLINK_GENERIC)
        except OSError as error:
            raise DataplaneError(f"ipvs: not to be used here: {error}") from error
        try:
            self._kind = self._find_family()
        except BaseException:
            self._channel.close()
            raise

    def close(self) -> None:
        self._channel.close()

    def _find_family(self) -> int:
        # Asking by name makes the kernel load the module, if there is one.
        wanted = _header(_CTRL_CMD_GETFAMILY) + string(_CTRL_ATTR_FAMILY_NAME, "IPVS")
        try:
            (answer,) = self._channel.request(_GENL_ID_CTRL, wanted)
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                raise DataplaneError("ipvs: this kernel has no IPVS (the module ip_vs)") from error
            raise DataplaneError(f"ipvs: not to be used here: {error}") from error
        found = attributes.parse(answer.body[4:])
        return int.from_bytes(found[_CTRL_ATTR_FAMILY_ID], sys.byteorder)

    # --- reading ------------------------------------------------------------------------------------------------

    def services(self) -> dict[ServerKey, Service]:
        """Every virtual server of this namespace, ours and others'."""
        return dict(self._services())

    def _services(self) -> Iterator[tuple[ServerKey, Service]]:
        for body in self._dump(Command.GET_SERVICE, b""):
            yield listed_service(body)

    def service(self, key: ServerKey) -> Service | None:
        """One virtual server; None if it does not exist."""
        try:
            (answer,) = self._channel.request(
                self._kind, _header(Command.GET_SERVICE) + nested(_CMD_ATTR_SERVICE, *_identity(key))
            )
        except NetlinkError as error:
            if error.errno in _ABSENT:
                return None
            raise
        return listed_service(answer.body)[1]

    def destinations(self, key: ServerKey) -> dict[Endpoint, Destination]:
        """The real servers of one virtual server; none if it does not exist."""
        try:
            bodies = self._dump(Command.GET_DEST, nested(_CMD_ATTR_SERVICE, *_identity(key)))
        except NetlinkError as error:
            if error.errno in _ABSENT:
                return {}
            raise
        return dict(_destination(key.family, body) for body in bodies)

    def _dump(self, command: Command, wanted: bytes) -> list[memoryview]:
        return self._channel.dump(self._kind, _header(command) + wanted)

    # --- writing ------------------------------------------------------------------------------------------------

    def carry_out(self, requests: Sequence[Request]) -> None:
        """One after the other; the kernel knows no transactions here. The first refusal is raised, after all of them.

        What is gone already when it should go, is as wanted. DataplaneError, or TakenError if nothing else is wrong.
        """
        bodies = [_header(command) + body for command, body, _ in requests]
        try:
            refusals = self._channel.requests(self._kind, bodies)
        except OSError as error:
            raise DataplaneError(f"ipvs: cannot send the changes: {error}") from error
        wrong = [refusal for refusal in refusals if not _as_wanted(requests[refusal.sequence][0], refusal)]
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            first = wrong[0]
            kind = TakenError if all(refusal.code == errno.EEXIST for refusal in wrong) else DataplaneError
            raise kind(f"ipvs: cannot {requests[first.sequence][2]}: {_explained(first)}{more}")


def ipvs_is_there() -> bool:
    """Whether this kernel has IPVS at work already. Nothing is loaded to find out."""
    return Path("/proc/thread-self/net/ip_vs").exists()


def _as_wanted(command: Command, refusal: Refusal) -> bool:
    gone = command in (Command.DEL_SERVICE, Command.DEL_DEST)
    return gone and refusal.code in _ABSENT


def _explained(refusal: Refusal) -> str:
    if refusal.code == errno.EEXIST:
        return f"{refusal}: somebody else has a virtual server there"
    return str(refusal)


def _header(command: int) -> bytes:
    return bytes((command, 1, 0, 0))


# --- messages -----------------------------------------------------------------------------------------------------


def _identity(key: ServerKey) -> Iterator[bytes]:
    yield attribute(_SVC_AF, _U16.pack(_FAMILIES[key.family]))
    if key.frontend is None:
        yield attribute(_SVC_FWMARK, _U32.pack(key.mark))
    else:
        yield attribute(_SVC_PROTOCOL, _U16.pack(key.frontend.protocol.number))
        yield attribute(_SVC_ADDR, _packed(key.family, key.frontend.address))
        yield attribute(_SVC_PORT, key.frontend.port.to_bytes(2, "big"))


def _packed(family: Family, address: str) -> bytes:
    return socket.inet_pton(_FAMILIES[family], address).ljust(16, b"\0")


def put_service(key: ServerKey, service: Service, *, new: bool) -> Request:
    """Make a virtual server, or change it."""
    # Clients are told apart by their whole address: a mask for IPv4, a length for IPv6.
    netmask = b"\xff\xff\xff\xff" if key.family is Family.IPV4 else _U32.pack(128)
    body = nested(
        _CMD_ATTR_SERVICE,
        *_identity(key),
        string(_SVC_SCHED_NAME, service.scheduler),
        attribute(_SVC_FLAGS, _FLAGS.pack(service.flags, 0xFFFFFFFF)),
        attribute(_SVC_TIMEOUT, _U32.pack(service.seconds)),
        attribute(_SVC_NETMASK, netmask),
    )
    verb = "add" if new else "change"
    return Command.NEW_SERVICE if new else Command.SET_SERVICE, body, f"{verb} virtual server {key} ({service})"


def delete_service(key: ServerKey) -> Request:
    return Command.DEL_SERVICE, nested(_CMD_ATTR_SERVICE, *_identity(key)), f"delete virtual server {key}"


def put_destination(key: ServerKey, endpoint: Endpoint, weight: int, *, new: bool) -> Request:
    """Add a real server, or give it another weight; with 0 it keeps what it has and gets nothing new."""
    body = nested(_CMD_ATTR_SERVICE, *_identity(key)) + nested(
        _CMD_ATTR_DEST,
        *_destination_identity(key.family, endpoint),
        attribute(_DEST_FWD_METHOD, _U32.pack(_MASQUERADING)),
        attribute(_DEST_WEIGHT, _U32.pack(weight)),
        attribute(_DEST_U_THRESH, _U32.pack(0)),
        attribute(_DEST_L_THRESH, _U32.pack(0)),
    )
    words = f"{'add' if new else 'change'} real server {endpoint} of {key}"
    return Command.NEW_DEST if new else Command.SET_DEST, body, words


def delete_destination(key: ServerKey, endpoint: Endpoint) -> Request:
    body = nested(_CMD_ATTR_SERVICE, *_identity(key)) + nested(
        _CMD_ATTR_DEST, *_destination_identity(key.family, endpoint)
    )
    return Command.DEL_DEST, body, f"delete real server {endpoint} of {key}"


def _destination_identity(family: Family, endpoint: Endpoint) -> Iterator[bytes]:
    yield attribute(_DEST_ADDR_FAMILY, _U16.pack(_FAMILIES[family]))
    yield attribute(_DEST_ADDR, _packed(family, endpoint.address))
    yield attribute(_DEST_PORT, endpoint.port.to_bytes(2, "big"))


def timeouts(tcp: int, tcp_fin: int, udp: int) -> Request:
    """How long connections are remembered without packets, in seconds; 0 leaves it as it is."""
    body = b"".join(
        attribute(kind, _U32.pack(seconds))
        for kind, seconds in (
            (_CMD_ATTR_TIMEOUT_TCP, tcp),
            (_CMD_ATTR_TIMEOUT_TCP_FIN, tcp_fin),
            (_CMD_ATTR_TIMEOUT_UDP, udp),
        )
    )
    return Command.SET_CONFIG, body, f"set the timeouts {tcp}, {tcp_fin} and {udp} s"


def listed_service(body: memoryview) -> tuple[ServerKey, Service]:
    parts = attributes.parse(attributes.parse(body[4:])[_CMD_ATTR_SERVICE])
    family = next(f for f, n in _FAMILIES.items() if n == _native(parts[_SVC_AF]))
    mark, frontend = _native(parts.get(_SVC_FWMARK, memoryview(b""))), None
    if not mark:
        protocol = _PROTOCOLS[_native(parts[_SVC_PROTOCOL])]
        frontend = FrontendKey(_address(family, parts[_SVC_ADDR]), protocol, number_of(parts[_SVC_PORT]))
    flags, _ = _FLAGS.unpack(parts[_SVC_FLAGS])
    service = Service(text_of(parts[_SVC_SCHED_NAME]), flags & ~_HASHED, _native(parts[_SVC_TIMEOUT]))
    return ServerKey(family, mark, frontend), service


def _destination(family: Family, body: memoryview) -> tuple[Endpoint, Destination]:
    parts = attributes.parse(attributes.parse(body[4:])[_CMD_ATTR_DEST])
    endpoint = Endpoint(_address(family, parts[_DEST_ADDR]), number_of(parts[_DEST_PORT]))
    connections = _native(parts[_DEST_ACTIVE_CONNS]) + _native(parts[_DEST_INACT_CONNS])
    return endpoint, Destination(_native(parts[_DEST_WEIGHT]), connections)


def _native(value: memoryview) -> int:
    return int.from_bytes(value, sys.byteorder)


def _address(family: Family, value: memoryview) -> str:
    return socket.inet_ntop(_FAMILIES[family], value[: _LENGTHS[family]])
