"""Reading what ``iptables-save`` prints, and telling whether two rules are the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataplane.iptables.chain import NAT, Chain, Rules
from dataplane.iptables.names import PREFIXES
from dataplane.iptables.skeleton import FIXED, NODE_PORTS, REFUSED, REFUSED_EXTERNAL, SERVICES
from dataplane.iptables.tree import is_branch
from dataplane.table import Family, FrontendKey, Protocol

_TOKEN = re.compile(r'"((?:\\.|[^"\\])*)"|(\S+)')
_UDP_PORT = re.compile(r"-p udp .*--dport (\d+) ")
_DESTINATION = re.compile(r"(?<!! )-d ([0-9a-f.:]+)/(?:32|128) ")
_FRONTENDS = (SERVICES, NODE_PORTS, REFUSED, REFUSED_EXTERNAL)
_WITHOUT_MEANING = ("-m", "--mask", "--rsource")  # implied by other options, or always the default
_FULL = ("/32", "/128")


@dataclass(frozen=True, slots=True)
class Saved:
    """The chains of all tables, with their rules in order as printed."""

    chains: Mapping[Chain, Rules]

    @staticmethod
    def parse(text: str) -> Saved:
        """From the output of ``iptables-save``. Counters and policies are left out."""
        chains: dict[Chain, list[str]] = {}
        table = ""
        for line in text.splitlines():
            if line.startswith("*"):
                table = line[1:].strip()
            elif line.startswith(":"):
                chains.setdefault(Chain(table, line[1:].split(" ", 1)[0]), [])
            elif line.startswith("-A "):
                name, _, rule = line[3:].partition(" ")
                chains.setdefault(Chain(table, name), []).append(rule)
        return Saved({chain: tuple(rules) for chain, rules in chains.items()})

    def has(self, chain: Chain, rule: str) -> bool:
        """Whether the chain is there and has this rule."""
        wanted = meaning(rule)
        return any(rule == other or meaning(other) == wanted for other in self.chains.get(chain, ()))

    def udp_frontends(self, family: Family) -> Iterator[FrontendKey]:
        """Those that there are, refused ones too, whoever wrote their rules.

        A NodePort's address is the unspecified one, or a node address where it is refused at certain ones only.
        """
        for chain, rules in self.chains.items():
            if chain in _FRONTENDS or is_branch(chain):
                for rule in rules:
                    port = _UDP_PORT.search(rule)
                    if port is not None:
                        address = _DESTINATION.search(rule)
                        yield FrontendKey(address[1] if address else family.any_address, Protocol.UDP, int(port[1]))

    def ours(self) -> Iterator[Chain]:
        """All chains that are named as this mode's are, whoever made them."""
        return (chain for chain in self.chains if is_ours(chain))


def is_ours(chain: Chain) -> bool:
    return chain in FIXED or is_branch(chain) or (chain.table == NAT and chain.name.startswith(PREFIXES))


def same(ours: Rules, theirs: Rules) -> bool:
    """Two chains' rules mean the same, in the same order."""
    return len(ours) == len(theirs) and all(
        a == b or meaning(a) == meaning(b) for a, b in zip(ours, theirs, strict=True)
    )


def tokens(rule: str) -> list[str]:
    """The words of a rule; quotes are taken off."""
    return [re.sub(r"\\(.)", r"\1", quoted) if bare == "" else bare for quoted, bare in _TOKEN.findall(rule)]


def meaning(rule: str) -> tuple[str, ...]:
    """The rule in a form that does not depend on who wrote it, and with which release of iptables.

    Options are sorted, each with its values and its ``!``; names of match modules, which the options imply, and
    defaults are left out; probabilities are as the kernel keeps them.
    """
    options: list[list[str]] = []
    inverted = False
    for token in tokens(rule):
        if token == "!":
            inverted = True
        elif token.startswith("-") and len(token) > 1:
            options.append([f"! {token}" if inverted else token])
            inverted = False
        elif options:
            options[-1].append(token)
    return tuple(sorted(" ".join(map(_value, option)) for option in options if _counts(option)))


def _counts(option: list[str]) -> bool:
    name = option[0]
    if name == "--reject-with":
        return not option[-1].endswith("port-unreachable")  # the default
    return name not in _WITHOUT_MEANING


def _value(text: str) -> str:
    for full in _FULL:
        text = text.removesuffix(full)
    if re.fullmatch(r"[01]\.\d{9,}", text):
        return str(round(float(text) * 2**31))
    return text
