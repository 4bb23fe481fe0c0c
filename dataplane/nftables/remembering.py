"""What happens to remembered clients when backends leave, pools change, or a timeout does.

Entries are written by packets and expire by themselves, so what is read here may be gone a moment later, and that
must not matter.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

from dataplane.netlink.channel import Channel
from dataplane.nft import dump, elements, texts
from dataplane.nft.dump import FoundElement
from dataplane.nft.elements import Element
from dataplane.nft.layer3 import Layer3
from dataplane.nft.plan import Relocation
from dataplane.nft.transaction import RefusedError, Transaction
from dataplane.nftables.affinity import known_clients
from dataplane.table import Endpoint

#: Packets that met the old rules may still write an entry while the new ones come into force.
_ROUNDS = 4
_OVERTAKEN = (errno.ENOENT, errno.EEXIST, errno.EBUSY)


def relocate(channel: Channel, layer: Layer3, relocations: Mapping[str, Relocation]) -> int:
    """Delete entries of backends that are gone, and move those that belong elsewhere. Returns how many commits.

    Each map is read again until nothing in it is out of place.
    """
    commits = 0
    touched: set[str] = set()
    for name, relocation in relocations.items():
        places = {name} & set(relocation.places.values())
        for _ in range(_ROUNDS):
            misplaced = _misplaced(channel, layer, name, relocation)
            if not misplaced:
                break
            commits += _move(channel, layer, name, misplaced)
            places |= {place for _, place in misplaced if place is not None}
        if relocation.has_known:
            touched |= places
    for name in sorted(touched):
        commits += _make_known(channel, layer, name)
    return commits


def _make_known(channel: Channel, layer: Layer3, name: str) -> int:
    """Give the set of known clients the keys of its map. Returns how many commits."""
    commits, known = 0, known_clients(name)
    for _ in range(_ROUNDS):
        wanted = {e.key: e.expires for e in dump.set_elements(channel, layer, name) if e.expires}
        found = {e.key for e in dump.set_elements(channel, layer, known)}
        transaction = Transaction()
        transaction.delete_elements(layer, known, [(key, elements.NO_TAIL) for key in found - wanted.keys()])
        come = [(key, elements.expiring(elements.NO_TAIL, left)) for key, left in wanted.items() if key not in found]
        transaction.add_elements(layer, known, come)
        if not transaction:
            break
        try:
            transaction.commit(channel)
            commits += 1
        except RefusedError as error:
            if error.code not in _OVERTAKEN:
                raise
    return commits


def _misplaced(
    channel: Channel, layer: Layer3, name: str, relocation: Relocation
) -> list[tuple[FoundElement, str | None]]:
    """The entries that must leave the map, and where to, with the time that they have left there."""
    moves: list[tuple[FoundElement, str | None]] = []
    for entry in dump.set_elements(channel, layer, name):
        backend = Endpoint(texts.address(elements.value_of(entry.tail)), relocation.port)
        place = relocation.places.get(backend)
        if place != name:
            # The kernel refuses an entry that has more left than a new one would have.
            there = 1000 * relocation.timeout_there
            left = min(_left(entry, 1000 * relocation.timeout, there), there)
            moves.append((entry._replace(expires=max(left, 0)), place if left > 0 else None))
    return moves


def _move(channel: Channel, layer: Layer3, name: str, moves: list[tuple[FoundElement, str | None]]) -> int:
    """All at once; or one by one if some of them are overtaken by packets or timers."""
    try:
        _transaction(layer, name, moves).commit(channel)
        return 1
    except RefusedError as error:
        if error.code not in _OVERTAKEN:
            raise
    commits = 0
    for entry, place in moves:
        for attempt in ((entry, place), (entry, None)):
            try:
                _transaction(layer, name, [attempt]).commit(channel)
                commits += 1
                break
            except RefusedError as error:
                if error.code not in _OVERTAKEN:
                    raise
    return commits


def _transaction(layer: Layer3, name: str, moves: list[tuple[FoundElement, str | None]]) -> Transaction:
    transaction = Transaction()
    transaction.delete_elements(layer, name, [(entry.key, entry.tail) for entry, _ in moves])
    added: dict[str, list[Element]] = {}
    for entry, place in moves:
        if place is not None and entry.expires:
            added.setdefault(place, []).append((entry.key, elements.expiring(entry.tail, entry.expires)))
    for place, members in added.items():
        transaction.add_elements(layer, place, members)
    return transaction


def with_timeout(entries: list[FoundElement], old: int, new: int) -> list[Element]:
    """The entries of a map as they are with another timeout (both in milliseconds): age counts, as it was."""
    kept = []
    for entry in entries:
        left = _left(entry, old, new)
        if left > 0:
            kept.append((entry.key, elements.expiring(entry.tail, left)))
    return kept


def _left(entry: FoundElement, old: int, new: int) -> int:
    """Milliseconds until it is forgotten, at most, under another timeout."""
    return new - (old - entry.expires)
