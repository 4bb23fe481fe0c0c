"""A list of nftables messages that happen together or not at all, each with words for what it does."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from types import MappingProxyType

from dataplane.interface import DataplaneError
from dataplane.netlink import messages
from dataplane.netlink.channel import Channel, NetlinkError
from dataplane.nft import elements, objects
from dataplane.nft.elements import Element
from dataplane.nft.kernel import Message
from dataplane.nft.layer3 import Layer3
from dataplane.nft.objects import Chain, Set
from dataplane.nft.plan import Plan


class Transaction:
    """Collects messages of both families; `commit` sends them as one batch."""

    def __init__(self) -> None:
        self._requests: list[tuple[int, int, bytes]] = []
        self._words: list[str] = []
        self._next_set = 1
        self.operations = 0  #: elements, rules, chains and sets written or removed

    def __bool__(self) -> bool:
        return bool(self._requests)

    def _add(self, kind: Message, flags: int, body: bytes, words: str, operations: int = 1) -> None:
        self._requests.append((kind, flags, body))
        self._words.append(words)
        self.operations += operations

    def commit(self, channel: Channel) -> None:
        """Raises DataplaneError that names the operation which the kernel refused; nothing is changed then."""
        try:
            channel.batch(self._requests)
        except NetlinkError as error:
            refusal = error.refusals[0]
            words = self._words[refusal.sequence] if refusal.sequence >= 0 else "commit the changes"
            more = f" (and {len(error.refusals) - 1} more)" if len(error.refusals) > 1 else ""
            raise RefusedError(f"nftables: cannot {words}: {refusal}{more}", refusal.code) from error
        except OSError as error:
            raise RefusedError(f"nftables: cannot send the changes: {error}", error.errno or errno.EIO) from error

    # --- tables -------------------------------------------------------------------------------------------------

    def add_table(self, layer: Layer3) -> None:
        words = f"add table {layer} {layer.table}"
        self._add(Message.NEWTABLE, messages.CREATE, objects.new_table(layer), words, 0)

    def delete_table(self, layer: Layer3) -> None:
        self._add(Message.DELTABLE, 0, objects.delete_table(layer), f"delete table {layer} {layer.table}")

    # --- chains and rules ---------------------------------------------------------------------------------------

    def add_chain(self, layer: Layer3, chain: Chain) -> None:
        words = f"add chain {layer} {layer.table} {chain.name}"
        self._add(Message.NEWCHAIN, messages.CREATE, objects.new_chain(layer, chain), words)

    def delete_chain(self, layer: Layer3, name: str) -> None:
        words = f"delete chain {layer} {layer.table} {name}"
        self._add(Message.DELCHAIN, 0, objects.delete_chain(layer, name), words)

    def flush_chain(self, layer: Layer3, name: str) -> None:
        words = f"flush chain {layer} {layer.table} {name}"
        self._add(Message.DELRULE, 0, objects.delete_rules(layer, name), words)

    def flush_table(self, layer: Layer3) -> None:
        """Remove all rules; chains and sets stay."""
        words = f"flush table {layer} {layer.table}"
        self._add(Message.DELRULE, 0, objects.delete_rules(layer, None), words)

    def add_rules(self, layer: Layer3, chain: Chain) -> None:
        for rule in chain.rules:
            words = f"add rule {layer} {layer.table} {chain.name} {rule.text}"
            body = objects.new_rule(layer, chain.name, rule.code)
            self._add(Message.NEWRULE, messages.CREATE | messages.APPEND, body, words)

    # --- sets and elements --------------------------------------------------------------------------------------

    def add_set(self, layer: Layer3, spec: Set) -> None:
        words = f"add {spec.kind} {layer} {layer.table} {spec.name}"
        self._add(Message.NEWSET, messages.CREATE, objects.new_set(layer, spec, self._next_set), words)
        self._next_set += 1

    def delete_set(self, layer: Layer3, name: str) -> None:
        self._add(Message.DELSET, 0, objects.delete_set(layer, name), f"delete set {layer} {layer.table} {name}")

    def add_elements(self, layer: Layer3, set_name: str, members: list[Element]) -> None:
        self._elements(Message.NEWSETELEM, messages.CREATE, "add", layer, set_name, members)

    def delete_elements(self, layer: Layer3, set_name: str, members: list[Element]) -> None:
        self._elements(Message.DELSETELEM, 0, "delete", layer, set_name, members)

    def _elements(
        self, kind: Message, flags: int, verb: str, layer: Layer3, set_name: str, members: list[Element]
    ) -> None:
        for count, body in elements.messages(layer, set_name, members):
            words = f"{verb} {count} element{'s' * (count != 1)} in {layer} {layer.table} {set_name}"
            self._add(kind, flags, body, words, count)

    # --- plans --------------------------------------------------------------------------------------------------

    def carry_out(self, layer: Layer3, plan: Plan, kept: Mapping[str, list[Element]] = MappingProxyType({})) -> None:
        """All of a plan but the removal of chains and sets that are no longer used.

        Those are only emptied: before Linux 6.2 the kernel counts a chain as used until a transaction that deletes
        the last element naming it is over, and refuses to delete it in the same one. `kept` has the elements that
        changed sets begin with.
        """
        rewritten = {**plan.rebound_chains, **plan.changed_chains}
        for name in (*rewritten, *plan.gone_chains):
            if name not in plan.new_chains:
                self.flush_chain(layer, name)
        for name in plan.changed_sets:
            self.delete_set(layer, name)
        for spec in (*plan.new_sets.values(), *plan.changed_sets.values()):
            self.add_set(layer, spec)
        for chain in plan.new_chains.values():
            self.add_chain(layer, chain)
        # Rules before elements: binding a map to a rule makes the kernel look at each element that it has.
        for chain in {**rewritten, **plan.new_chains}.values():
            self.add_rules(layer, chain)
        for set_name, members in plan.removed.items():
            self.delete_elements(layer, set_name, members)
        for set_name, members in (*plan.added.items(), *kept.items()):
            self.add_elements(layer, set_name, members)


class RefusedError(DataplaneError):
    """With the kernel's error number."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code
