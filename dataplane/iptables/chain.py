"""What all parts of the mode speak of: chains, their rules, and what the rules depend on besides Services."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from dataplane.errors import InputError
from dataplane.iptables import rules
from dataplane.table import DetectLocal, Family, ForwardingTable

FILTER, NAT, MANGLE = "filter", "nat", "mangle"
TABLES = (MANGLE, FILTER, NAT)

Rules: TypeAlias = tuple[str, ...]
"""The rules of one chain, in order, without ``-A CHAIN``."""


class Chain(NamedTuple):
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.table}/{self.name}"


class Layout(enum.StrEnum):
    """How packets find their frontend among many (``--iptables-layout``)."""

    KUBE_PROXY = "kube-proxy"  #: one rule after the other
    TREE = "tree"  #: by network first (see `tree`)

    @staticmethod
    def named(name: str) -> Layout:
        """InputError if there is none of this name."""
        try:
            return Layout(name)
        except ValueError:
            raise InputError(f"--iptables-layout: {name!r} is none of {', '.join(Layout)}") from None


@dataclass(frozen=True, slots=True)
class Options:
    """How the operator wants the rules.

    `mark` is the bit that asks for masquerading. `localhost_node_ports`: NodePorts answer on 127.0.0.1 too, where they
    answer on all addresses (IPv4 only). `drop_invalid`: packets that connection tracking cannot place are dropped,
    because they would pass untranslated.
    """

    mark: int = 1 << 14
    localhost_node_ports: bool = False
    drop_invalid: bool = True
    layout: Layout = Layout.KUBE_PROXY


@dataclass(frozen=True, slots=True)
class Setting:
    """What one family's rules depend on besides frontends."""

    family: Family
    options: Options
    detect_local: DetectLocal
    node_addresses: tuple[str, ...]  #: of this family, sorted

    @staticmethod
    def of(table: ForwardingTable, family: Family, options: Options) -> Setting:
        addresses = sorted(a for a in table.node_addresses if Family.of(a) is family)
        return Setting(family, options, table.detect_local, tuple(addresses))

    @property
    def pods_are_told(self) -> bool:
        return self.detect_local.applies_to(self.family)

    @property
    def localhost(self) -> bool:
        """NodePorts answer on the loopback addresses."""
        everywhere = self.family.any_address in self.node_addresses
        return self.options.localhost_node_ports and everywhere and self.family is Family.IPV4

    def node_port_destinations(self) -> Iterator[tuple[str, str]]:
        """Where NodePorts answer: an address match, and a further match, for each rule that is needed."""
        if self.family.any_address in self.node_addresses:
            but_loopback = "" if self.localhost else f"! {rules.destination(rules.LOOPBACK[self.family])}"
            yield but_loopback, rules.TO_THIS_HOST
        else:
            for address in self.node_addresses:
                yield rules.destination(address), ""
