"""Many packets in one buffer, without copying."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from native.library import ffi, lib

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on


class Link(enum.IntEnum):
    """What the first byte of a packet belongs to."""

    IP = lib.PACKET_LINK_IP
    ETHERNET = lib.PACKET_LINK_ETHERNET


class Batch:
    """Packets that lie in a buffer of the caller's and are rewritten there.

    memory = bytearray(64 * 2048)
    batch = Batch(memory, 64)
    batch.add(offset=0, length=60, interface=1)
    engine.run(batch, now)
    batch.packets[0].decision.outcome

    `packets` are the structures of native/engine.h, for whoever wants every nanosecond; `Engine.result` makes a
    pleasant object of one. The buffer cannot change its size as long as the batch lives.
    """

    def __init__(self, memory: Buffer, capacity: int = 256, link: Link = Link.IP) -> None:
        self.memory: Any = ffi.from_buffer("uint8_t[]", memory, require_writable=True)
        self.packets: Any = ffi.new("struct engine_packet[]", capacity)
        self.capacity = capacity
        self.count = 0
        self.link = link

    def add(self, offset: int, length: int, interface: int = 0, room: int = 0, *, is_unfinished: bool = False) -> None:
        """One more packet. IndexError if the batch is full, ValueError if it is not in the buffer.

        `room` bytes from the offset on may be written: the answer to a rejected packet can be longer than it is.
        `is_unfinished` says that its sender left the checksum to a network card (native/offload.c), as Linux does for
        packets between pods and for segments of up to 65,535 bytes.
        """
        if self.count == self.capacity:
            raise IndexError(f"the batch holds {self.capacity} packets already")
        if not 0 <= offset <= offset + length <= len(self.memory):
            raise ValueError(f"bytes {offset} to {offset + length} are not in a buffer of {len(self.memory)}")
        packet = self.packets[self.count]
        packet.offset, packet.length, packet.interface = offset, length, interface
        packet.room = room
        packet.flags = lib.ENGINE_UNFINISHED if is_unfinished else 0
        self.count += 1

    def clear(self) -> None:
        """No packets; the buffer stays."""
        self.count = 0

    def is_unfinished(self, position: int) -> bool:
        """Whether the checksum of one packet is still to be made, by a network card or by `finish`."""
        return bool(self.packets[position].flags & lib.ENGINE_UNFINISHED)

    def finish(self, position: int) -> bool:
        """Make the checksum of one packet if it is unfinished, and tell if so.

        For packets that go where no card will do it. A segment that still is to be cut is left as it is.
        """
        packet = self.packets[position]
        if not self.is_unfinished(position):
            return False
        if not lib.offload_finish(self.memory + packet.offset, packet.length, self.link):
            return False
        packet.flags &= ~lib.ENGINE_UNFINISHED
        return True

    def data(self, position: int) -> bytes:
        """The bytes of one packet as they are now."""
        packet = self.packets[position]
        return bytes(ffi.buffer(self.memory)[packet.offset : packet.offset + packet.length])
