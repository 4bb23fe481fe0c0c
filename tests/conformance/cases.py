"""The cases as values. README.md says what each key means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a probe should see. A field that is None is not looked at."""

    pods: frozenset[str] | None = None
    src: frozenset[str] | None = None
    err: frozenset[str] | None = None
    one: int | None = None
    among: frozenset[str] | None = None
    many: bool | None = None
    fair: bool | None = None
    pod: str | None = None
    peer: str | None = None
    ping: bool | None = None
    http: str | None = None
    local_endpoints: int | None = msgspec.field(default=None, name="localEndpoints")


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expect: dict[str, Expectation]
    source: str = msgspec.field(default="", name="from")
    destination: str = msgspec.field(default="", name="dst")
    port: int = 0
    protocol: str = msgspec.field(default="TCP", name="proto")
    count: int = msgspec.field(default=24, name="n")
    every: float = 0.0
    serial: bool | int = False
    source_port: int | None = msgspec.field(default=None, name="sport")
    source_address: str | None = msgspec.field(default=None, name="saddr")
    hold: str | None = None
    held: str | None = None
    ping: str | None = None
    http: str | None = None
    # What is asked for shows in the expectation already.
    one: int | None = None
    fair: int | None = None

    def expectation(self, mode: str) -> Expectation:
        """What this mode should see. KeyError if the case does not say."""
        return self.expect["any"] if "any" in self.expect else self.expect[mode]

    def __str__(self) -> str:
        if self.held:
            return f"held connection {self.held}"
        if self.ping or self.http:
            return f"{self.source} → {self.ping or self.http}"
        return f"{self.source} → {self.destination}:{self.port}/{self.protocol}"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    apply: tuple[dict[str, Any], ...] = ()
    delete: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    restart: bool = False


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    steps: tuple[Step, ...]
    node_zone: str | None = "za"
    options: dict[str, Any] = {}


def load(raw: Any) -> tuple[Case, ...]:
    """Cases from plain lists and mappings, as JSON has them."""
    return msgspec.convert(raw, tuple[Case, ...])


def recorded_cases() -> tuple[Case, ...]:
    """What kube-proxy did."""
    return load(json.loads((Path(__file__).parent / "cases.json").read_text()))
