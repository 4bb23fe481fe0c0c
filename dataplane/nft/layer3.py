"""What differs between IPv4 and IPv6 in nftables: words, header offsets, numbers. Nothing else does.

With them goes the name of the table that is written for it: everything that makes a message needs both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dataplane.table import Family


@dataclass(frozen=True, slots=True)
class Layer3:
    """One IP version as nftables sees it. Offsets and lengths in bytes."""

    family: Family
    word: str  #: of the table and of header fields in nft's language: ``ip`` or ``ip6``
    number: int  #: NFPROTO_*
    address_type: str
    address_type_number: int  #: nft's own number for the type, shown back by `nft list`
    address_length: int
    source_offset: int
    destination_offset: int
    header_description: int  #: nft's number for the protocol header, in `typeof` user data
    source_field: int
    destination_field: int
    port_unreachable: int  #: ICMP code
    loopback: str
    table: str = "svcplane"

    def with_table(self, name: str) -> Layer3:
        """The same IP version, in another table."""
        return replace(self, table=name)

    def __str__(self) -> str:
        return self.word


IPV4 = Layer3(Family.IPV4, "ip", 2, "ipv4_addr", 7, 4, 12, 16, 12, 11, 12, 3, "127.0.0.0/8")
IPV6 = Layer3(Family.IPV6, "ip6", 10, "ipv6_addr", 8, 16, 8, 24, 13, 8, 9, 4, "::1/128")

LAYERS = {Family.IPV4: IPV4, Family.IPV6: IPV6}
