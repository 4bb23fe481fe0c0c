"""A netlink socket for requests, dumps and atomic nfnetlink batches.

Netlink does the work inside `sendmsg`: when it returns, every answer waits in the socket already. So answers are
read without blocking, and an answer that is not there is an error, not a reason to wait.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dataplane.netlink import attributes, messages

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
_SOL_NETLINK = 270
_ADD_MEMBERSHIP, _DROP_MEMBERSHIP, _CAP_ACK, _EXT_ACK = 1, 2, 10, 11
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_RECEIVE_BUFFER = 8 << 20
_DATAGRAM = 1 << 17  # lists come in datagrams of up to 32 KiB, one attribute holds less than 64 KiB
_DUMP_ATTEMPTS = 10
_REQUESTS_AT_ONCE = 1000  # their acknowledgements fit into the receive buffer

_BATCH_BEGIN, _BATCH_END = 16, 17
_NFTABLES = 10  # the resource id of a batch: NFNL_SUBSYS_NFTABLES
_AF_UNSPEC = 0

_ERROR = struct.Struct("=i")
_ORIGINAL = struct.Struct("=IHHII")
_MESSAGE_TEXT, _MESSAGE_OFFSET = 1, 2  # NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS


class Refusal(NamedTuple):
    """The kernel's answer to one message it did not accept."""

    code: int  #: errno
    sequence: int  #: of the refused message
    text: str  #: the kernel's own words, or ""
    offset: int | None  #: of the attribute at fault, from the start of the message

    def __str__(self) -> str:
        return f"{os.strerror(self.code)} ({errno.errorcode.get(self.code, self.code)})" + (
            f": {self.text}" if self.text else ""
        )


class NetlinkError(OSError):
    """The kernel refused. `refusals` has every answer that says so, in the order of the messages."""

    def __init__(self, refusals: Sequence[Refusal]):
        super().__init__(refusals[0].code, str(refusals[0]))
        self.refusals = tuple(refusals)


class Channel:
    """One netlink socket. Used by one thread at a time; `close` it or use it in a ``with``."""

    def __init__(self, protocol: int = NETLINK_NETFILTER) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.bind((0, 0))
            self._socket.setblocking(False)
            # An error need not repeat the refused message, but should have details.
            self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
            self._grow_buffer(_SO_RCVBUFFORCE, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[0]
        self._sequence = 0
        self._sendable = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """Of the socket, for `select` and event loops: readable when a notification came."""
        return self._socket.fileno()

    def _grow_buffer(self, forced: int, ordinary: int, size: int) -> None:
        # The forced form passes the system's limit (net.core.*mem_max) but needs CAP_NET_ADMIN.
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, forced, size)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, ordinary, size)

    def _send(self, parts: Sequence[bytes]) -> None:
        data = b"".join(parts)
        if len(data) + 4096 > self._sendable:
            self._grow_buffer(_SO_SNDBUFFORCE, socket.SO_SNDBUF, len(data) + 4096)
            self._sendable = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            if len(data) + 32 > self._sendable:
                raise OSError(
                    errno.EMSGSIZE,
                    f"a batch of {len(data)} bytes must be sent at once, but the socket may hold only "
                    f"{self._sendable}: give CAP_NET_ADMIN or raise net.core.wmem_max",
                )
        self._socket.sendto(data, (0, 0))

    def _receive(self) -> Iterator[messages.Message]:
        """All messages of the next datagram. Raises BlockingIOError if none waits."""
        return messages.each(self._socket.recv(_DATAGRAM))

    def _next_sequence(self, count: int = 1) -> int:
        """The first of `count` sequence numbers that nobody used lately; 0 is the kernel's own."""
        if self._sequence + count > 0xFFFFFFF0:
            self._sequence = 0
        first = self._sequence + 1
        self._sequence += count
        return first

    # --- requests -----------------------------------------------------------------------------------------------

    def request(self, kind: int, body: bytes, flags: int = 0) -> list[messages.Message]:
        """Send one message and return what the kernel answers, without the acknowledgement.

        Raises NetlinkError if the kernel refuses.
        """
        sequence = self._next_sequence()
        self._send([messages.message(kind, messages.REQUEST | messages.ACK | flags, sequence, body)])
        answers: list[messages.Message] = []
        while True:
            for answer in self._receive():
                if answer.sequence != sequence:
                    continue
                if answer.kind != messages.ERROR:
                    answers.append(answer)
                elif refusal := _refusal(answer):
                    raise NetlinkError([refusal])
                else:
                    return answers

    def requests(self, kind: int, bodies: Sequence[bytes], flags: int = 0) -> list[Refusal]:
        """Send many messages of one kind, each on its own: some may be refused and the others happen all the same.

        The sequence number of a refusal is the index of its body.
        """
        refusals: list[Refusal] = []
        for start in range(0, len(bodies), _REQUESTS_AT_ONCE):
            chunk = bodies[start : start + _REQUESTS_AT_ONCE]
            first = self._next_sequence(len(chunk))
            asked = messages.REQUEST | messages.ACK | flags
            self._send([messages.message(kind, asked, first + i, body) for i, body in enumerate(chunk)])
            found, _ = self._outcome(first, first + len(chunk) - 1)
            refusals += [r._replace(sequence=r.sequence - first + start) for r in found]
        return refusals

    def dump(self, kind: int, body: bytes) -> list[memoryview]:
        """The bodies of a whole list. Repeated while the kernel says that it changed in the meantime."""
        for _ in range(_DUMP_ATTEMPTS):
            bodies = self._dump_once(kind, body)
            if bodies is not None:
                return bodies
        raise NetlinkError([Refusal(errno.EINTR, 0, "the list kept changing while it was read", None)])

    def _dump_once(self, kind: int, body: bytes) -> list[memoryview] | None:
        sequence = self._next_sequence()
        self._send([messages.message(kind, messages.REQUEST | messages.DUMP, sequence, body)])
        bodies: list[memoryview] = []
        consistent = True
        while True:
            for answer in self._receive():
                if answer.sequence != sequence:
                    continue
                consistent &= not answer.flags & messages.DUMP_INTERRUPTED
                if answer.kind == messages.ERROR or answer.kind == messages.DONE:
                    refusal = _refusal(answer)
                    if refusal and refusal.code != errno.EINTR:
                        raise NetlinkError([refusal])
                    return bodies if consistent and not refusal else None
                bodies.append(answer.body)

    def batch(self, requests: Sequence[tuple[int, int, bytes]]) -> None:
        """Send (type, flags, body) messages as one nftables transaction: all of them happen, or none.

        Raises NetlinkError; the sequence number of a refusal is then the index of the refused message in
        `requests`, or -1 if it cannot be told.
        """
        if not requests:
            return
        first = self._next_sequence(len(requests) + 2)
        envelope = messages.netfilter_body(_AF_UNSPEC, b"", _NFTABLES)
        parts = [messages.message(_BATCH_BEGIN, messages.REQUEST, first, envelope)]
        pack = messages.message
        for sequence, (kind, flags, body) in enumerate(requests, first + 1):
            parts.append(pack(kind, flags | messages.REQUEST, sequence, body))
        # Success must be said, not guessed. Only newer kernels answer the end of a batch, all answer its last
        # message; an acknowledgement of every message would overflow the socket.
        last = first + len(requests)
        kind, flags, body = requests[-1]
        parts[-1] = pack(kind, flags | messages.REQUEST | messages.ACK, last, body)
        parts.append(pack(_BATCH_END, messages.REQUEST, last + 1, envelope))
        self._send(parts)
        refusals, acknowledged = self._outcome(first, last)
        if refusals:
            raise NetlinkError([r._replace(sequence=r.sequence - first - 1) for r in refusals])
        if not acknowledged:
            raise NetlinkError([Refusal(errno.EIO, -1, "the kernel did not confirm the batch", None)])

    def _outcome(self, first: int, last: int) -> tuple[list[Refusal], bool]:
        refusals: list[Refusal] = []
        acknowledged = False
        while True:
            try:
                for answer in self._receive():
                    if answer.kind != messages.ERROR or not first <= answer.sequence <= last + 1:
                        continue
                    if refusal := _refusal(answer):
                        refusals.append(refusal)
                    else:
                        acknowledged |= answer.sequence == last
            except BlockingIOError:
                return refusals, acknowledged
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # More refusals than the socket holds: the first ones are enough to say what is wrong.
                refusals = refusals or [Refusal(errno.ENOBUFS, first, "answers were lost", None)]

    # --- notifications --------------------------------------------------------------------------------------------

    def join(self, group: int) -> None:
        """Receive the notifications of a multicast group."""
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def leave(self, group: int) -> None:
        self._socket.setsockopt(_SOL_NETLINK, _DROP_MEMBERSHIP, group)

    def notifications(self) -> tuple[list[messages.Message], bool]:
        """What came since the last call, and whether some of it was lost because nobody read."""
        found: list[messages.Message] = []
        lost = False
        while True:
            try:
                found.extend(self._receive())
            except BlockingIOError:
                return found, lost
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True


def _refusal(answer: messages.Message) -> Refusal | None:
    """What an error or end-of-dump message says; None if it says that all is well."""
    if len(answer.body) < _ERROR.size:
        return None
    (code,) = _ERROR.unpack_from(answer.body)
    if code >= 0:
        return None
    text, offset = "", None
    if answer.flags & messages.EXTENDED_ACK:
        start = _ERROR.size
        if answer.kind == messages.ERROR:
            (length, *_) = _ORIGINAL.unpack_from(answer.body, start)
            start += _ORIGINAL.size if answer.flags & messages.CAPPED else length
        with contextlib.suppress(ValueError):  # details are a courtesy
            details = attributes.parse(answer.body[start:])
            text = attributes.text_of(details.get(_MESSAGE_TEXT, b""))
            if _MESSAGE_OFFSET in details:
                offset = int.from_bytes(details[_MESSAGE_OFFSET], sys.byteorder)
    return Refusal(-code, answer.sequence, text, offset)
