"""Whom a load generator sends to."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address


@dataclass(frozen=True)
class Target:
    """`services` addresses in a row, from the first."""

    address: str
    services: int
    port: int

    @property
    def words(self) -> tuple[str, ...]:
        return ("--destination", self.address, "--services", str(self.services), "--port", str(self.port))

    def last(self) -> Target:
        """The last of the row alone."""
        return Target(str(IPv4Address(self.address) + self.services - 1), 1, self.port)

    def one(self) -> Target:
        """The first of the row alone."""
        return Target(self.address, 1, self.port)
