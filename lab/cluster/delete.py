"""Remove objects from a cluster, and wait until they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dataplane.errors import InputError
from lab.api.registry import Resource
from lab.cluster.client import ApiClient, RefusedError, path_of
from lab.cluster.kinds import shown_name

_POLL = 0.05


class Target(NamedTuple):
    resource: Resource
    namespace: str
    name: str
    where: str = ""  #: what an error begins with, if there is something to say

    def __str__(self) -> str:
        return f'{shown_name(self.resource)} "{self.name}"'


def delete(
    client: ApiClient,
    targets: Sequence[Target],
    *,
    ignore_missing: bool = False,
    wait_seconds: float = 60.0,
    deleted: Callable[[Target], None] = lambda _: None,
) -> None:
    """Delete all of these. `deleted` hears of each one for which the server has taken the order.

    Returns when they are gone: pods take their time to end. With `wait_seconds` 0 it does not wait. Raises InputError
    for one that is not there (the others are deleted all the same), or that is still there after so long.
    """
    missing: list[str] = []
    waiting: list[tuple[Target, str]] = []
    for target in targets:
        try:
            found = client.get(target.resource, target.namespace, target.name)
            client.request("DELETE", path_of(target.resource, target.namespace, target.name))
            waiting.append((target, found["metadata"]["uid"]))
            deleted(target)
        except RefusedError as error:
            if not error.is_not_found:
                raise InputError(f"{target.where}{': ' if target.where else ''}{error}") from None
            missing.append(f"{target.where}{': ' if target.where else ''}{error}")
    deadline = time.monotonic() + wait_seconds
    while wait_seconds and (waiting := [(t, uid) for t, uid in waiting if _is_there(client, t, uid)]):
        if time.monotonic() > deadline:
            raise InputError(f"{waiting[0][0]} is still there after {wait_seconds:g} s")
        time.sleep(_POLL)
    if missing and not ignore_missing:
        raise InputError(missing[0] + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""))


def _is_there(client: ApiClient, target: Target, uid: str) -> bool:
    try:
        found = client.get(target.resource, target.namespace, target.name)
    except RefusedError as error:
        if error.is_not_found:
            return False
        raise
    return bool(found["metadata"]["uid"] == uid)
