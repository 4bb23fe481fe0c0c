"""The node's own addresses, as its kernel tells them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from controller.interfaces import watch_interface_addresses
from patience import PATIENCE

pytestmark = pytest.mark.kernel


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


def test_addresses_are_told_at_the_start_and_whenever_one_comes_or_goes(in_new_namespace: Callable[..., Any]) -> None:
    told: list[frozenset[str]] = []

    async def expect(addresses: set[str]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not told or told[-1] != addresses:
                await asyncio.sleep(0.002)

    async def main() -> None:
        ip("address add 192.0.2.1/24 dev lo")
        watching = asyncio.create_task(watch_interface_addresses(told.append))
        await expect({"192.0.2.1"})
        ip("address add 2001:db8::1/64 dev lo nodad")
        await expect({"192.0.2.1", "2001:db8::1"})
        ip("address del 192.0.2.1/24 dev lo")
        await expect({"2001:db8::1"})
        watching.cancel()
        await asyncio.wait({watching})

    in_new_namespace(lambda: asyncio.run(main()))
