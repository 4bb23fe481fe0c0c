"""Ports on descriptors that give and take one packet at a time: a socket pair, or a tap device."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
from collections.abc import Sequence

from dataplane.errors import InputError
from dataplane.userspace.batch import Link

_LONGEST = 65536
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_TAP, _IFF_NO_PI = 0x0001, 0x0002, 0x1000


class DescriptorPort:
    """Of what the other end has written when it is asked, all is received. The descriptor is the port's from now on."""

    def __init__(self, descriptor: int, link: Link) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._link = descriptor, link
        self._ended = False
        self.lost = 0  #: packets that the other end had no room for

    @property
    def link(self) -> Link:
        return self._link

    def fileno(self) -> int:
        """For whoever waits for packets."""
        return self._descriptor

    def due(self, now: float) -> float | None:
        return now if not self._ended and select.select([self._descriptor], [], [], 0)[0] else None

    def receive(self, now: float) -> Sequence[bytes]:
        packets = []
        try:
            while packet := os.read(self._descriptor, _LONGEST):
                packets.append(packet)
            self._ended = True
        except BlockingIOError:
            pass
        return packets

    def send(self, packet: bytes, now: float) -> None:
        try:
            os.write(self._descriptor, packet)
        except OSError:
            self.lost += 1

    def close(self) -> None:
        os.close(self._descriptor)


def memory_step_port(link: Link = Link.IP) -> tuple[DescriptorPort, socket.socket]:
    """A port that needs no rights, and the socket at its other end: one packet for each `send` and `recv`."""
    far, near = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return DescriptorPort(near.detach(), link), far


def tap_port(name: str, link: Link = Link.ETHERNET) -> DescriptorPort:
    """A new interface of the calling thread's network namespace, which somebody else gives addresses and brings up.

    With Ethernet it is a tap device, with IP a tun device; it goes with the port. InputError if there can be none.
    """
    kind = _IFF_TAP if link is Link.ETHERNET else _IFF_TUN
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"cannot open /dev/net/tun: {error.strerror}") from error
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | _IFF_NO_PI))
    except OSError as error:
        os.close(descriptor)
        raise InputError(f"cannot make the interface {name}: {error.strerror}") from error
    return DescriptorPort(descriptor, link)
