"""All endpoints of the soak: each answers whatever it is sent with its own address and port.

Runs as ``python -m bench.soak.endpoints`` in a namespace that takes all endpoints' addresses for its own, until it is
killed.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from bench.soak.addresses import TCP_PORTS, UDP_PORT

_IP_PKTINFO = 8  # linux/in.h; Python has no name for it yet
_IPV6_FREEBIND = 78  # linux/in6.h
_BACKLOG = 1024


async def _answer_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    address, port, *_ = writer.get_extra_info("sockname")
    try:
        while await reader.readline():
            writer.write(f"{address.removeprefix('::ffff:')} {port}\n".encode())
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def _answer_datagrams(family: socket.AddressFamily) -> socket.socket:
    """A socket that answers from the address that it was asked at, which is in the packet's own information."""
    listening = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET:
        listening.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        # A route makes these addresses ours; to answer from one that no interface has, this must be said besides.
        listening.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    listening.bind(("", UDP_PORT))
    listening.setblocking(False)

    def answer() -> None:
        question, about, _, client = listening.recvmsg(512, 256)
        ((level, kind, information),) = about
        if family == socket.AF_INET:
            _, _, address = struct.unpack("=i4s4s", information)
            information = struct.pack("=i4s4s", 0, address, bytes(4))
        else:
            address = information[:16]
            information = address + bytes(4)
        said = question + f"{socket.inet_ntop(family, address)} {UDP_PORT}\n".encode()
        listening.sendmsg([said], [(level, kind, information)], 0, client)

    asyncio.get_running_loop().add_reader(listening, answer)
    return listening


async def main() -> None:
    servers = [await asyncio.start_server(_answer_lines, "", port, backlog=_BACKLOG) for port in TCP_PORTS]
    sockets = [_answer_datagrams(family) for family in (socket.AF_INET, socket.AF_INET6)]
    print("here", flush=True)
    await asyncio.Event().wait()
    del servers, sockets


if __name__ == "__main__":
    asyncio.run(main())
