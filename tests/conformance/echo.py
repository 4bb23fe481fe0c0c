"""ICMP echo: whether an address answers a ping (RFC 792, RFC 4443)."""

from __future__ import annotations

import errno
import os
import socket
import struct

_ECHO_REQUEST = {4: 8, 6: 128}
_ECHO_REPLY = {4: 0, 6: 129}


def echoes(address: str, seconds: float) -> bool:
    """Whether anybody answers an ICMP echo request from here in time."""
    version = 6 if ":" in address else 4
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if version == 6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(seconds)
        raw.connect((address, 0))
        identifier = os.getpid() & 0xFFFF
        message = struct.pack("!BBHHH", _ECHO_REQUEST[version], 0, 0, identifier, 1)
        # Type, code, identifier and sequence number are all there is to sum up; ICMPv6 is summed by the kernel.
        total = (_ECHO_REQUEST[version] << 8) + identifier + 1
        checksum = 0xFFFF - (total % 0xFFFF)
        raw.send(message[:2] + struct.pack("!H", checksum) + message[4:] if version == 4 else message)
        try:
            while True:
                received = raw.recv(2048)
                header = received[(received[0] & 0xF) * 4 :] if version == 4 else received
                if header[0] == _ECHO_REPLY[version] and header[4:6] == struct.pack("!H", identifier):
                    return True
        except TimeoutError:
            return False
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES):
                return False
            raise
