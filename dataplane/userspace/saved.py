"""What an engine knows, to be kept while it is restarted: flows, and the clients that affinity remembers.

It is JSON, with addresses and names as people write them, so that it can be read, and outlives a change of how the
engine numbers things.
"""

from __future__ import annotations

import msgspec

from dataplane.addresses import canonical_address
from dataplane.errors import InputError
from dataplane.table import Endpoint, FrontendKey, Protocol

VERSION = 1


class SavedFlow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One flow. `events` are bits of native/tracking.h; `name` is the service port that it is counted for."""

    protocol: Protocol
    client: Endpoint
    service: Endpoint
    backend: Endpoint
    seen_as: Endpoint
    name: str
    milliseconds: int  #: until it is forgotten
    packets: tuple[int, int]
    events: int
    node_port: bool
    masquerade: bool
    hairpin: bool
    can_end: bool = False  #: its Service said, when it began, when it is forgotten (`Frontend.serving`)

    @property
    def frontend(self) -> FrontendKey:
        """Where it came in."""
        return FrontendKey.of(self.service, self.protocol, node_port=self.node_port)


class SavedClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client that goes to `backend`; `name` says in whose memory."""

    name: str
    client: str
    backend: Endpoint
    milliseconds: int  #: until it is forgotten


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    flows: tuple[SavedFlow, ...]
    clients: tuple[SavedClient, ...]
    version: int = VERSION


def to_json(saved: Saved) -> bytes:
    return msgspec.json.encode(saved)


def from_json(data: bytes, name: str) -> Saved:
    """InputError if that is not what `to_json` writes; `name` says where it comes from."""
    try:
        saved = msgspec.json.decode(data, type=Saved)
    except msgspec.MsgspecError as error:
        raise InputError(f"{name}: expected saved flows: {error}") from error
    if saved.version != VERSION:
        raise InputError(f"{name}: expected saved flows of version {VERSION}, found version {saved.version}")
    for flow in saved.flows:
        _check(name, flow.milliseconds, flow.client, flow.service, flow.backend, flow.seen_as)
        if not all(0 <= count < 2**64 for count in flow.packets) or not 0 <= flow.events < 256:
            raise InputError(f"{name}: {flow.client} → {flow.service}: expected counts, found {flow.packets}")
    for client in saved.clients:
        _check(name, client.milliseconds, Endpoint(client.client, 0), client.backend)
    return saved


def _check(name: str, milliseconds: int, *endpoints: Endpoint) -> None:
    for endpoint in endpoints:
        if canonical_address(endpoint.address) != endpoint.address or not 0 <= endpoint.port < 65536:
            raise InputError(f"{name}: expected an address and a port, found {endpoint.address!r}, {endpoint.port}")
    if len({":" in endpoint.address for endpoint in endpoints}) > 1:
        raise InputError(f"{name}: expected addresses of one family, found {', '.join(map(str, endpoints))}")
    if not 0 <= milliseconds < 2**63:
        raise InputError(f"{name}: expected milliseconds, found {milliseconds}")
