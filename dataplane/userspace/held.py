"""What is wanted of a kernel's sets or maps: by whom, and for as long as connections go on.

Frontends, backends and addresses hold places in them. A place outlives its holders while connections go on that began
there: TCP connections of a Service that is gone, or to a backend that serves no new ones, must still meet the engine in
both directions. So it is remembered of each place who used it and is not the holder's any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeAlias, TypeVar

from dataplane.table import Endpoint, Frontend, Protocol

User: TypeAlias = tuple[str, Endpoint]
"""A service port's name and one of its backends: what the engine counts connections of."""

Place = TypeVar("Place", bound=Hashable)


class Held(Generic[Place]):
    """Every place that is wanted."""

    def __init__(self) -> None:
        self._holders: Counter[Place] = Counter()
        self._users: dict[Place, set[User]] = {}  #: those whose connections may go on, though no holder has them

    def __contains__(self, place: Place) -> bool:
        return place in self._holders or place in self._users

    def __iter__(self) -> Iterator[Place]:
        yield from self._holders
        for place in self._users:
            if place not in self._holders:
                yield place

    def replace(self, old: Mapping[Place, frozenset[User]], new: Mapping[Place, frozenset[User]]) -> list[Place]:
        """A holder has other places, or other users of them. Returns the places that were not wanted before."""
        come = []
        for place in new:
            if place not in old:
                if place not in self:
                    come.append(place)
                self._holders[place] += 1
        for place, users in old.items():
            if place not in new:
                self._holders[place] -= 1
                if not self._holders[place]:
                    del self._holders[place]
            left = users - new.get(place, frozenset())
            if left or place not in self._holders:
                self._users.setdefault(place, set()).update(left)
        return come

    def keep(self, place: Place, user: User) -> bool:
        """Connections go on of which no holder may know. Returns whether the place was not wanted before."""
        new = place not in self
        self._users.setdefault(place, set()).add(user)
        return new

    def prune(self, busy: Callable[[User], bool]) -> list[Place]:
        """Forget the users that are not busy. Returns the places that are not wanted any more."""
        gone = []
        for place, users in list(self._users.items()):
            users.difference_update([user for user in users if not busy(user)])
            if not users:
                del self._users[place]
                if place not in self._holders:
                    gone.append(place)
        return gone


def places(
    frontend: Frontend, entrances: Iterable[Place], answering: Callable[[Endpoint], Iterable[Place]]
) -> dict[Place, frozenset[User]]:
    """The places that a frontend holds, each with its users: where it is entered, and where its backends answer."""
    # UDP flows end with what they were for: nobody has to wait for them.
    lasting = frontend.key.protocol is not Protocol.UDP
    everybody = frontend.answering
    users = frozenset((frontend.service, endpoint) for endpoint in everybody if lasting)
    found = dict.fromkeys(entrances, users)
    for endpoint in everybody:
        user = frozenset({(frontend.service, endpoint)} if lasting else ())
        for place in answering(endpoint):
            found[place] = found.get(place, frozenset()) | user
    return found
