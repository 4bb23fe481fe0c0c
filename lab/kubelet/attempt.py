"""One try of a probe or of a lifecycle hook: the side of `lab.kubelet.probes` that does it.

As from a real kubelet, requests come from the node and go to the pod's address.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import dataclass

from lab.kubelet.probes import Action, Execute, HttpGet, Impossible, TcpConnect
from lab.network.namespace import Namespace
from lab.network.probe import error_kind


@dataclass(frozen=True, slots=True)
class Target:
    """The pod that is tried."""

    address: str
    machine: Namespace
    node: Namespace


async def attempt(action: Action, target: Target, timeout: float) -> str | None:
    """None if it succeeds within `timeout` seconds; otherwise what happened, in words."""
    try:
        async with asyncio.timeout(timeout):
            match action:
                case HttpGet(port, path, host, headers):
                    status = await http_status(target.node, host or target.address, port, path, dict(headers))
                    return None if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"
                case TcpConnect(port, host):
                    (await _connected(target.node, host or target.address, port)).close()
                    return None
                case Execute(argv):
                    return await _execute(target.machine, argv)
                case Impossible(reason):
                    return reason
    except TimeoutError:
        return f"no answer in {timeout:g} s"
    except (OSError, EOFError) as error:
        return error_kind(error)


async def http_status(
    machine: Namespace, address: str, port: int, path: str, headers: dict[str, str] | None = None
) -> int:
    """The status of an HTTP GET from `machine`. OSError or EOFError if there is none."""
    connection = await _connected(machine, address, port)
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        host = f"[{address}]" if ":" in address else address
        fields = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/svcplane", "Connection": "close"} | (
            headers or {}
        )
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        words = (await reader.readline()).split()
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise EOFError("no HTTP answer")
        return int(words[1])
    finally:
        writer.close()


async def _connected(machine: Namespace, address: str, port: int) -> socket.socket:
    connection = machine.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


async def _execute(machine: Namespace, argv: tuple[str, ...]) -> str | None:
    """Runs on this machine's file system; only the network is the pod's."""
    process = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", machine.name, *argv,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    if process.returncode == 0:
        return None
    return f"command ended with {process.returncode}: {output.decode(errors='replace').strip()[:200]}"
