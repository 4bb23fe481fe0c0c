"""An HTTP application on one address and port. Where another program has the port, it waits for it to become free."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from dataplane.errors import InputError
from dataplane.table import Endpoint

_AGAIN = 5.0  # seconds between two tries, as kube-proxy has it


@dataclass(slots=True)
class Listener:
    """`name` is how the operator calls the address. `failed` is told once, in a sentence, if it can't be had."""

    name: str
    application: web.Application
    address: tuple[str, int]
    failed: Callable[[str], None]

    async def run(self, *, insist: bool = False) -> None:
        """Serve until cancelled. If the address can't be had: InputError if `insist`, else try on."""
        server = web.AppRunner(self.application, access_log=None, shutdown_timeout=1.0)
        await server.setup()
        try:
            told = False
            while reason := await self._start(server):
                if insist:
                    raise InputError(reason)
                if not told:
                    self.failed(reason)
                    told = True
                await asyncio.sleep(_AGAIN)
            await asyncio.Event().wait()
        finally:
            await server.cleanup()

    async def _start(self, server: web.AppRunner) -> str:
        """Why it does not listen; empty if it does."""
        try:
            await web.TCPSite(server, *self.address).start()
        except OSError as error:
            cause = os.strerror(error.errno) if error.errno else str(error)
            return f"{self.name}: can't listen on {Endpoint(*self.address)}: {cause}"
        return ""
