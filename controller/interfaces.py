"""The addresses of this host's interfaces, now and after every change.

They are those of the network namespace that the process runs in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dataplane.netlink.addresses import local_addresses
from dataplane.netlink.channel import NETLINK_ROUTE, Channel

_RTNLGRP_IPV4_IFADDR, _RTNLGRP_IPV6_IFADDR = 5, 9  # linux/rtnetlink.h


async def watch_interface_addresses(changed: Callable[[frozenset[str]], None]) -> None:
    """Call `changed` with all addresses, now and after every change, until cancelled. Raises OSError if it can't."""
    with Channel(NETLINK_ROUTE) as channel:
        channel.join(_RTNLGRP_IPV4_IFADDR)
        channel.join(_RTNLGRP_IPV6_IFADDR)
        while True:
            # What notifications say is stale by the time they are read, and some may be lost: only the list counts.
            changed(local_addresses())
            await _readable(channel)
            channel.notifications()


async def _readable(channel: Channel) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(channel.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(channel.fileno())
