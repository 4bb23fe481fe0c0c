"""The nftables mode: tables ``ip svcplane`` and ``ip6 svcplane``, over netlink, in one transaction per apply."""

from __future__ import annotations

import time

from dataplane.changes import Changes
from dataplane.interface import Applied
from dataplane.netlink.channel import Channel
from dataplane.nftables.layer3 import IPV4, IPV6, Layer3
from dataplane.nftables.ruleset import Ruleset
from dataplane.nftables.transaction import Transaction
from dataplane.table import ForwardingTable

_LAYERS = (IPV4, IPV6)


class NftablesDataplane:
    """Programs the network namespace of the thread that makes it. Used by one thread at a time."""

    def __init__(self, mark_bit: int = 14) -> None:
        self._mark = 1 << mark_bit
        self._channel = Channel()
        self._table = ForwardingTable()
        self._rulesets: dict[Layer3, Ruleset] | None = None

    def apply(self, table: ForwardingTable) -> Applied:
        started = time.monotonic()
        rulesets = {layer: Ruleset(layer, table.detect_local, self._mark) for layer in _LAYERS}
        changes = Changes.between(ForwardingTable(), table)
        transaction = Transaction()
        for layer in _LAYERS:
            plan = rulesets[layer].update(changes, table)
            transaction.add_table(layer)
            transaction.carry_out(layer, plan)
        self.encoded = time.monotonic() - started
        transaction.commit(self._channel)
        return Applied(True, transaction.operations, time.monotonic() - started)
