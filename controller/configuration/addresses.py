"""Addresses to listen on, as people write them."""

from __future__ import annotations

from dataplane.addresses import canonical_address


def listen_address(text: str, port: int) -> tuple[str, int] | None:
    """(address, port) from ``address:port``, ``[address]:port`` or an address alone, which then gets `port`.

    None for an empty text: listen nowhere. ValueError if it is none of these.
    """
    if not text:
        return None
    alone = canonical_address(text.removeprefix("[").removesuffix("]"))
    if alone is not None:
        return alone, port
    host, colon, number = text.rpartition(":")
    address = "0.0.0.0" if not host else canonical_address(host.removeprefix("[").removesuffix("]"))
    if address is None or not colon or not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise ValueError(f"{text!r} is no address to listen on (expected like 0.0.0.0:10256)")
    return address, int(number)
