"""Access to one API server: where it is, whom to trust there, and who we are, kept fresh.

Every request takes a `Ticket`. Behind it, files are read again every minute, an exec plugin is run again when what
it gave has run out, and both happen at once when the server answers 401: tokens and certificates rotate while the
process lives on.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controller.api.credential import REREAD_SECONDS, Credential, CredentialSource, FixedSource, Source, read
from controller.api.errors import CredentialError
from controller.api.tls import client_context

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What one request needs. `tls` is None for plain http; `server_name` replaces the URL's host in TLS."""

    server: str
    headers: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext | None
    server_name: str | None
    proxy: str | None
    credential: Credential


class Access:
    """Hands out tickets for one API server."""

    def __init__(
        self,
        server: str,
        source: CredentialSource | None = None,
        *,
        authority: Source | None = None,
        insecure: bool = False,
        server_name: str | None = None,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`server` and `proxy` are URLs; see `controller.api.tls.client_context` for `authority` and `insecure`.

        `headers` are sent with every request.
        """
        self.server = server.rstrip("/")
        self.proxy = proxy
        self._source = source or FixedSource()
        self._authority = authority
        self._insecure = insecure
        self._server_name = server_name
        self._headers = dict(headers or {})
        self._ticket: Ticket | None = None
        self._authority_read: bytes | None = None
        self._good_until = 0.0
        self._lock = asyncio.Lock()

    async def ticket(self) -> Ticket:
        """What the next request needs. Raises CredentialError if nothing usable was ever had."""
        async with self._lock:
            if self._ticket is not None and time.monotonic() < self._good_until:
                return self._ticket
            try:
                return await self._renew()
            except CredentialError as error:
                if self._ticket is None:
                    raise
                # Perhaps just being rotated. Should the old one be refused, `refused` reports it.
                _log.warning("credentials for %s kept, because %s", self.server, error)
                self._good_until = time.monotonic() + REREAD_SECONDS
                return self._ticket

    async def refused(self, ticket: Ticket) -> bool:
        """The server answered 401 to this ticket. Returns whether there are other credentials to try now.

        Raises CredentialError.
        """
        async with self._lock:
            current = await self._renew() if ticket is self._ticket else self._ticket
            return current is not None and current.credential != ticket.credential

    async def _renew(self) -> Ticket:
        credential, seconds = await self._source.fetch()
        authority = None if self._authority is None else read(self._authority)
        if isinstance(self._authority, Path):
            seconds = min(seconds, REREAD_SECONDS)
        self._good_until = time.monotonic() + seconds
        known = self._ticket
        if known is None or known.credential != credential or self._authority_read != authority:
            # Only then: connections are kept per TLS context, and a new one would shake hands anew.
            self._authority_read = authority
            self._ticket = known = Ticket(
                server=self.server,
                headers=self._headers | credential.headers,
                tls=self._context(authority, credential),
                server_name=self._server_name,
                proxy=self.proxy,
                credential=credential,
            )
        return known

    def _context(self, authority: bytes | None, credential: Credential) -> ssl.SSLContext | None:
        if not self.server.startswith("https:"):
            return None
        return client_context(
            authority, insecure=self._insecure, certificate=credential.certificate, key=credential.key
        )
