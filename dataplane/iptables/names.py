"""How chains are called: kube-proxy's names, so that what people know of them stays true.

A chain that belongs to a service port ends in 16 characters of a hash of ``namespace/name:port`` and the protocol;
an endpoint's chain hashes the endpoint too. The names are short because iptables allows 28 characters.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable

from dataplane.table import Protocol

CLUSTER = "KUBE-SVC-"  #: endpoints anywhere
LOCAL = "KUBE-SVL-"  #: endpoints on this node
EXTERNAL = "KUBE-EXT-"  #: who comes to an external address, a load balancer's, or a node port
FIREWALL = "KUBE-FW-"  #: who may come to a load balancer's address
ENDPOINT = "KUBE-SEP-"  #: one endpoint

PREFIXES = (CLUSTER, LOCAL, EXTERNAL, FIREWALL, ENDPOINT)

_BYTES = 10  # in base32 they are 16 characters


def chain_hash(service: str, protocol: Protocol, rest: str = "") -> str:
    """The end of a chain's name. `service` is the display name, `rest` an endpoint's ``address:port``."""
    digest = hashlib.sha256(f"{service}{protocol.lower()}{rest}".encode()).digest()
    return base64.b32encode(digest[:_BYTES]).decode()


class ChainNames:
    """Names for the chains of one service port.

    A Service as Kubernetes has it needs each name once. A table may hold more (two pools of one scope, say); then the
    second thing that asks for a name gets another one, made in the same way with its number added.
    """

    def __init__(self, service: str, protocol: Protocol) -> None:
        self._service, self._protocol = service, protocol
        self._known: dict[tuple[str, str], list[Hashable]] = {}

    def name(self, prefix: str, thing: Hashable, rest: str = "") -> str:
        """The chain for this thing: the same whenever the same thing asks."""
        known = self._known.setdefault((prefix, rest), [])
        if thing not in known:
            known.append(thing)
        number = known.index(thing)
        return prefix + chain_hash(self._service, self._protocol, f"{rest}/{number + 1}" if number else rest)
