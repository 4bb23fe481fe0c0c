"""Carries what is asked in a network namespace to where the API server is. It can be brought to a machine.

Runs as ``python3 relay.py FROM TO``, with nothing but Python's own library. FROM is a port of 127.0.0.1, or ``fd:3,4``:
descriptors of listeners that it has been given. TO is a port, or the path of a socket. It says ``ready``.
"""

from __future__ import annotations

import asyncio
import socket
import sys


async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(1 << 16):
            sink.write(chunk)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()


async def main(here: str, there: str) -> None:
    if here.startswith("fd:"):
        listeners = [socket.socket(fileno=int(number)) for number in here.removeprefix("fd:").split(",")]
    else:
        listeners = [socket.create_server(("127.0.0.1", int(here)))]

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if there.isdigit():
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(there))
            else:
                far_reader, far_writer = await asyncio.open_unix_connection(there)
        except OSError:  # whoever asks too early asks again
            writer.close()
            return
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    servers = [await asyncio.start_server(connected, sock=listener) for listener in listeners]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
