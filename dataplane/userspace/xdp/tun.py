"""The way back: a tun device by which the kernel gets what the engine has, and goes on with it as with any packet."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct

from dataplane.errors import InputError

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SIOCSIFFLAGS, _SIOCGIFINDEX, _SIOCSIFMTU, _IFF_UP = 0x8914, 0x8933, 0x8922, 0x1

NAME = "svcplane-xdp"

_PARAMETERS = {
    # The sources of what comes out of it are elsewhere, and one is this host itself, if that was masqueraded.
    "net/ipv4/conf/{}/rp_filter": "0",
    "net/ipv4/conf/{}/accept_local": "1",
    "net/ipv4/conf/{}/forwarding": "1",
    "net/ipv6/conf/{}/forwarding": "1",
    # It has nobody to talk to.
    "net/ipv6/conf/{}/addr_gen_mode": "1",
    "net/ipv6/conf/{}/accept_ra": "0",
}


class Tun:
    """Named NAME, in the calling thread's network namespace, as long as its descriptor is open."""

    def __init__(self, name: str = NAME) -> None:
        """InputError if there can be none."""
        try:
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(f"AF_XDP: cannot open /dev/net/tun: {error.strerror}") from error
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
            self.index = _bring_up(name)
        except OSError as error:
            os.close(descriptor)
            hint = ": another svcplane runs here" if error.errno == errno.EBUSY else ""
            raise InputError(f"AF_XDP: cannot make the tun device {name}: {error.strerror}{hint}") from error
        self.descriptor = descriptor

    def close(self) -> None:
        """For whoever has not given the descriptor away."""
        os.close(self.descriptor)


def _bring_up(name: str) -> int:
    for parameter, value in _PARAMETERS.items():
        # A kernel without IPv6 has not all of them.
        with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/{parameter.format(name)}", "w") as file:
            file.write(value)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", name.encode(), 65535))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), _IFF_UP))
        answer = fcntl.ioctl(control, _SIOCGIFINDEX, struct.pack("16s24x", name.encode()))
    return int(struct.unpack_from("=16si", answer)[1])
