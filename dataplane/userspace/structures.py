"""The structures of the C engine, made of Python's values and read into them. Nothing here decides anything."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import astuple
from typing import Any

from dataplane.table import Endpoint, Family, Protocol
from dataplane.userspace.columns import packed
from dataplane.userspace.flows import PHASES, Flow, Tally
from dataplane.userspace.image import unpacked
from dataplane.userspace.limits import AnswerRates, Limits, Rate, Timeouts
from dataplane.userspace.saved import SavedClient, SavedFlow
from native.library import ffi, lib

_PROTOCOLS = {protocol.number: protocol for protocol in Protocol}


def errors() -> dict[int, str]:
    return {
        lib.IMAGE_TOO_MANY: "it holds more than the limits allow",
        lib.IMAGE_BAD_FRONTEND: "a frontend refers to something that is not there",
        lib.IMAGE_BAD_POOL: "a pool is empty, or refers to backends that are not there",
        lib.IMAGE_BAD_BACKEND: "a backend is of no family",
        lib.IMAGE_BAD_ADDRESS: "an address is of no family",
        lib.IMAGE_BAD_FAMILY: "a range of addresses is not there",
    }


def native_config(limits: Limits, timeouts: Timeouts, answers: AnswerRates, seed: int | None) -> Any:
    secret = os.urandom(32) if seed is None else hashlib.sha256(str(seed).encode()).digest()
    words = [int.from_bytes(secret[at : at + 8], "big") for at in range(0, 32, 8)]
    config = ffi.new("struct engine_config *")
    config.flows, config.affinities = limits.flows, limits.clients
    config.limits.frontends, config.limits.pools = limits.frontends, limits.pools
    config.limits.backends, config.limits.endpoints = limits.backends, limits.serving
    config.limits.ranges, config.limits.addresses = limits.ranges, limits.addresses
    config.limits.tallies, config.limits.members = limits.tallies, limits.members
    config.limits.maglevs, config.held = limits.maglevs, limits.held
    config.key.first, config.key.second, config.seed.first, config.seed.second = words
    config.timeouts.milliseconds = [int(seconds * 1000) for seconds in astuple(timeouts)]
    _fill_rate(config.answers.all, answers.all)
    _fill_rate(config.answers.each, answers.each)
    return config


def _fill_rate(native: Any, rate: Rate) -> None:
    native.burst, native.count, native.milliseconds = rate.burst, rate.count, int(rate.seconds * 1000)


def native_name(owner: int, backend: Endpoint) -> Any:
    """What the engine is asked for the number of: a backend of this owner (`Owners`)."""
    name = ffi.new("struct name *")
    name.address.bytes, name.port = packed(backend.address), _wire(backend.port)
    name.owner, name.family = owner, Family.of(backend.address)
    return name


def backend_of(name: Any) -> Endpoint:
    return _endpoint(name.address, name.port, name.family)


def flow_of(flow: Any) -> Flow:
    original, reply = flow.tuples
    return Flow(
        protocol=_PROTOCOLS[original.protocol],
        client=_endpoint(original.source, original.source_port, original.family),
        service=_endpoint(original.destination, original.destination_port, original.family),
        backend=_endpoint(reply.source, reply.source_port, original.family),
        seen_as=_endpoint(reply.destination, reply.destination_port, original.family),
        phase=PHASES[lib.tracking_phase(flow.events, original.protocol)],
        expires=flow.deadline / 1000,
        packets=tuple(flow.packets),
        masquerade=bool(flow.flags & lib.FLOW_MASQUERADE),
        hairpin=bool(flow.flags & lib.FLOW_HAIRPIN),
        node_port=bool(flow.flags & lib.FLOW_NODE_PORT),
    )


def saved_flow(flow: Any, name: str, now: int) -> SavedFlow:
    seen = flow_of(flow)
    return SavedFlow(
        seen.protocol,
        seen.client,
        seen.service,
        seen.backend,
        seen.seen_as,
        name,
        flow.deadline - now,
        seen.packets,
        flow.events,
        bool(flow.flags & lib.FLOW_NODE_PORT),
        seen.masquerade,
        seen.hairpin,
        bool(flow.flags & lib.FLOW_CAN_END),
    )


def native_flow(saved: SavedFlow, tally: int) -> Any:
    flow = ffi.new("struct flow *")
    ends = ((saved.client, saved.service), (saved.backend, saved.seen_as))
    for native, (source, destination) in zip(flow.tuples, ends, strict=True):
        native.source.bytes, native.destination.bytes = packed(source.address), packed(destination.address)
        native.source_port, native.destination_port = _wire(source.port), _wire(destination.port)
        native.protocol, native.family = saved.protocol.number, Family.of(saved.client.address)
    flow.packets, flow.tally, flow.events = saved.packets, tally, saved.events
    flow.flags = (
        (saved.node_port and lib.FLOW_NODE_PORT)
        | (saved.masquerade and lib.FLOW_MASQUERADE)
        | (saved.hairpin and lib.FLOW_HAIRPIN)
        | (saved.can_end and lib.FLOW_CAN_END)
    )
    return flow


def _wire(port: int) -> int:
    """From this machine's byte order to the network's, and back."""
    return int.from_bytes(port.to_bytes(2, sys.byteorder), "big")


def _endpoint(address: Any, port: int, family: int) -> Endpoint:
    return Endpoint(unpacked(bytes(address.bytes), Family(family)), _wire(port))


def tally_of(tally: Any) -> Tally:
    return Tally(tally.connections, tally.active, *tally.packets, *tally.bytes)


def fields(structure: Any) -> dict[str, int]:
    """A structure of numbers as a dictionary."""
    return {name: getattr(structure, name) for name, _ in ffi.typeof(structure).fields}


def native_client(saved: SavedClient, affinity: int, member: int) -> Any:
    entry = ffi.new("struct affinity_entry *")
    entry.client.bytes = packed(saved.client)
    entry.affinity, entry.member = affinity, member
    return entry
