"""Where a frontend is served: its elements and the chains it can pass, as text for people."""

from __future__ import annotations

import re

from dataplane.nft import texts
from dataplane.nft.guard import ALLOWED_SOURCES, LIMITED
from dataplane.nft.layer3 import Layer3
from dataplane.nftables.ruleset import Ruleset
from dataplane.table import Frontend

_CALL = re.compile(r"\b(?:goto|jump) (\S+)")


def where(layer: Layer3, ruleset: Ruleset, frontend: Frontend) -> str:
    """Everything that belongs to this frontend, in the order in which a packet meets it."""
    lines: list[str] = []
    calls: list[str] = []
    by_set: dict[str, list[str]] = {}
    for name, key, tail in ruleset.parts(frontend).elements:
        text = texts.element(ruleset.sets[name], key, tail)
        by_set.setdefault(name, []).append(text)
        calls += _CALL.findall(text)
    # Sources are checked before anything else.
    for name in sorted(by_set, key=lambda n: n not in (LIMITED, ALLOWED_SOURCES)):
        lines.append(f"{ruleset.sets[name].kind} {layer} {layer.table} {name} {{")
        lines += [f"\t{text}" for text in by_set[name]]
        lines.append("}")
    seen: set[str] = set()
    while calls:
        name = calls.pop(0)
        if name in seen:
            continue
        seen.add(name)
        text = ruleset.chains[name].text
        lines.append(text)
        calls += _CALL.findall(text)
    return "\n".join(lines)
