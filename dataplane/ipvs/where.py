"""Where a frontend is served: its elements, and the virtual servers that they lead to, as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from dataplane.ipvs.kernel import PERSISTENT, ServerKey
from dataplane.ipvs.ruleset import Ruleset
from dataplane.ipvs.servers import Server, Servers
from dataplane.nft import texts
from dataplane.nft.guard import ALLOWED_SOURCES, LIMITED
from dataplane.table import Family, Frontend


def where(ruleset: Ruleset, servers: Servers, frontend: Frontend) -> str:
    """In the order in which a packet meets it; virtual servers as `ipvsadm` is told to make them."""
    lines: list[str] = []
    by_set: dict[str, list[str]] = {}
    for name, key, tail in sorted(ruleset.members(frontend.key)):
        by_set.setdefault(name, []).append(texts.element(ruleset.sets[name], key, tail))
    for name in sorted(by_set, key=lambda n: n not in (LIMITED, ALLOWED_SOURCES)):
        lines.append(f"{ruleset.sets[name].kind} {ruleset.layer} {ruleset.layer.table} {name} {{")
        lines += [f"\t{text}" for text in by_set[name]]
        lines.append("}")
    known = dict(servers.all)
    for server_key in servers.keys(frontend):
        lines += _server(server_key, known[server_key])
    return "\n".join(lines)


def _server(key: ServerKey, server: Server) -> Iterator[str]:
    if key.frontend is None:
        name = f"-f {key.mark}{' -6' if key.family is Family.IPV6 else ''}"
    else:
        address, protocol, port = key.frontend
        host = f"[{address}]" if key.family is Family.IPV6 else address
        name = f"{_OPTIONS[protocol]} {host}:{port}"
    stays = f" -p {server.service.seconds}" if server.service.flags & PERSISTENT else ""
    yield f"ipvsadm -A {name} -s {server.service.scheduler}{stays}"
    for endpoint, weight in server.weights.items():
        yield f"ipvsadm -a {name} -r {endpoint} -m -w {weight}"


_OPTIONS = {"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service"}
