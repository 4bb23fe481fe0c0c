"""The addresses of this host's interfaces, and when they change.

Both are those of the network namespace that the process runs in.
"""

from __future__ import annotations

from collections.abc import Callable

from pyroute2 import AsyncIPRoute

from dataplane.addresses import canonical_address

_CHANGES = ("RTM_NEWADDR", "RTM_DELADDR")


async def interface_addresses() -> frozenset[str]:
    """Every address of every interface, in canonical form."""
    async with AsyncIPRoute() as netlink:
        return frozenset([_address(m) async for m in await netlink.get_addr() if _address(m)])


async def watch_interface_addresses(changed: Callable[[frozenset[str]], None]) -> None:
    """Call `changed` with all addresses, now and after every change, until cancelled. Raises OSError if it can't."""
    async with AsyncIPRoute() as netlink:
        await netlink.bind()
        changed(await interface_addresses())
        while True:
            # One burst of messages ends the inner loop; what it said is stale by then, so the list is read anew.
            moved = [m["event"] in _CHANGES async for m in netlink.get()]
            if any(moved):
                changed(await interface_addresses())


def _address(message: object) -> str:
    # IFA_LOCAL is the interface's own address; IFA_ADDRESS is the peer's on point-to-point links.
    look_up = message.get_attr  # type: ignore[attr-defined]
    return canonical_address(look_up("IFA_LOCAL") or look_up("IFA_ADDRESS") or "") or ""
