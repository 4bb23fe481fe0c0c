"""The first packet of an SCTP association, for tests."""

from __future__ import annotations

from scapy.layers.inet import IP
from scapy.layers.sctp import SCTP, SCTPChunkInit


def association(source_port: int, port: int) -> bytes:
    """An INIT with its checksum, which covers no addresses."""
    init = SCTPChunkInit(init_tag=1, a_rwnd=65536, n_out_streams=1, n_in_streams=1, init_tsn=1)
    return bytes((IP() / SCTP(sport=source_port, dport=port, tag=0) / init).payload)
