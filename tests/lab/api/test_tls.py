"""The server over TLS."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest

from certificates import new_authority
from lab.api.server import ApiServer
from lab.api.store import Store


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
def test_it_serves_several_sockets_with_a_certificate_that_clients_trust(tmp_path: Path) -> None:
    authority = new_authority(tmp_path / "ca")
    context = authority.server_context(authority.issue("server", "IP:127.0.0.1"))
    trusting = ssl.create_default_context(cafile=str(authority.certificate))

    async def story() -> list[str]:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [listening.getsockname()[1] for listening in sockets]
        server = ApiServer(Store())
        await server.start(sockets, tls=context)
        try:
            async with aiohttp.ClientSession() as client:
                answers = [await client.get(f"https://127.0.0.1:{port}/readyz", ssl=trusting) for port in ports]
                return [await answer.text() for answer in answers]
        finally:
            await server.stop()

    assert asyncio.run(story()) == ["ok", "ok"]
