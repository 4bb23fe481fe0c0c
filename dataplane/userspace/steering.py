"""The rules that bring the engine its packets: tables ``ip svcplane-userspace`` and ``ip6 svcplane-userspace``.

    prerouting, output  -300   take       packets to frontends, of backends, and errors about either → the queues
                               direct     who else writes to a backend: their answers do not depend on an engine
    prerouting, output  -299   leave      what came back translated is nobody's connection: notrack

That is before the kernel tracks connections (-200), so it sees every packet as it is on the other side of the
translation, and the rest of its way (routing, filters) is as if there were no Services. Translated packets must not be
tracked: the two directions of a flow do not look like one any more (the client's packets show the backend, the
answers the Service), so answers would be invalid to whoever asks for their state.

What comes from a backend's address and port is taken too, whether it is an answer through the Service or to somebody
who asked the backend directly: only the engine knows, and it passes the latter on as it is. While no engine runs,
nobody does; then answers go on to whoever was lately seen to write to the backend itself: to clients of other nodes,
whose packets were translated there, and to this host's next agent, as the API server is a backend of a Service, too.

All errors of ICMP are taken, because what they are about is inside. So is every piece of a packet but the first, which
has no ports; if connections are tracked on this node there are none, because the kernel puts packets together before
that (-400).

What comes out of the AF_XDP port's tun device has been at the engine already, and is not taken again.

TCP packets with SYN wait in queues of their own, those that answer one as well: whoever floods the node with them
(RFC 4987) fills only these, and connections that are open go on. Nothing overtakes anything, as neither end sends more
before a SYN was answered.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dataplane.netlink.attributes import attribute, nested, number, string
from dataplane.nft import fields, kernel, statements
from dataplane.nft.elements import NO_TAIL, Element
from dataplane.nft.fields import PORT, PROTOCOL, SOURCE_PORT, Field, expression
from dataplane.nft.kernel import Hook, SetFlag
from dataplane.nft.layer3 import IPV4, IPV6, Layer3
from dataplane.nft.objects import BaseHook, Chain, Set
from dataplane.nft.statements import Rule, Statement, goto, in_set, jump, note, rule
from dataplane.table import Endpoint, Family, ForwardingTable, FrontendKey, Protocol
from dataplane.userspace.xdp import tun

TABLE = "svcplane-userspace"
LAYERS = {layer.family: layer.with_table(TABLE) for layer in (IPV4, IPV6)}

FRONTENDS, NODE_PORTS, NODE_ADDRESSES = "frontends", "node-ports", "node-addresses"
CLUSTER_IPS, BACKENDS = "cluster-ips", "backends"
DIRECT = "direct"  #: written by packets: who asks backends themselves, and whom

DIRECT_SECONDS, _MOST_DIRECT = 60, 65536

_OR_DROP, _OR_PASS = "to-engine", "to-engine-or-pass"  #: chains that have packets wait
TAKING = ("take", _OR_DROP, _OR_PASS)
"""The chains that bring packets to the engine."""

_PRIORITY = -300  #: as iptables' raw table

# Sets are read by frontends' and backends' side alike: an address, a protocol and a port of either direction.
NODE_PORT_KEY = (PROTOCOL, PORT)


def sets(layer: Layer3) -> Iterator[Set]:
    """The sets, which are all there is of a ForwardingTable in these rules."""
    key = _to(layer)
    yield Set(FRONTENDS, key)
    yield Set(NODE_PORTS, NODE_PORT_KEY)
    yield Set(NODE_ADDRESSES, key[:1])
    yield Set(CLUSTER_IPS, key[:1])
    yield Set(BACKENDS, key)
    flags = SetFlag.EVAL | SetFlag.TIMEOUT
    yield Set(DIRECT, (*key, *_from(layer)[::2]), flags=flags, size=_MOST_DIRECT, timeout=DIRECT_SECONDS)


class Waiting(NamedTuple):
    """Statements that have a packet wait for the engine; they differ in what happens while there is none."""

    or_drop: Statement
    or_pass: Statement


class Queues(NamedTuple):
    """Where packets wait."""

    opening: Waiting  #: those with SYN
    others: Waiting


def chains(layer: Layer3, table: ForwardingTable, queues: Queues) -> Iterator[Chain]:
    """The chains. Of the table they depend on no frontend."""
    hook = BaseHook
    # What came in on the loopback interface was sent by this host, and taken there.
    from_itself = rule(statements.from_interface("lo", False), statements.RETURN)
    from_engine = statements.from_interface(tun.NAME, False)
    take, leave = rule(jump("take")), rule(jump("leave"))
    for name, how in ((_OR_DROP, 0), (_OR_PASS, 1)):
        yield Chain(name, (rule(_HAS_SYN, queues.opening[how]), rule(queues.others[how])))
    yield Chain("take", tuple(_take(layer, table)))
    yield Chain("leave", tuple(_leave(layer)))
    incoming = (from_itself, rule(from_engine, statements.RETURN), *_spoofed(layer), take)
    # Translated or not: what a backend still shows is an answer to somebody who asked it directly.
    returning = (
        rule(from_engine, in_set(_from(layer), BACKENDS), statements.RETURN),
        rule(from_engine, NOTRACK),
    )
    yield Chain("take-prerouting", incoming, hook("filter", Hook.PREROUTING, _PRIORITY))
    yield Chain("take-output", (take,), hook("filter", Hook.OUTPUT, _PRIORITY))
    yield Chain("leave-prerouting", (from_itself, *returning, leave), hook("filter", Hook.PREROUTING, _PRIORITY + 1))
    yield Chain("leave-output", (leave,), hook("filter", Hook.OUTPUT, _PRIORITY + 1))


def _spoofed(layer: Layer3) -> Iterator[Rule]:
    """Nobody else sends from this host's addresses. Linux drops such IPv4 packets unless accept_local is set; which it
    is, for packets whose source *becomes* one in the engine."""
    if layer.family is Family.IPV4:
        yield rule(statements.FROM_THIS_HOST, statements.DROP)


def _take(layer: Layer3, table: ForwardingTable) -> Iterator[Rule]:
    queue = goto(_OR_DROP)
    yield rule(in_set(_to(layer), FRONTENDS), NOTRACK, queue)
    yield rule(*_to_node(layer, table), in_set(NODE_PORT_KEY, NODE_PORTS), NOTRACK, queue)
    # What came through a frontend never gets here: it waits above, and goes on behind this chain.
    yield rule(in_set(_to(layer), BACKENDS), note((*_to(layer), *_from(layer)[::2]), DIRECT))
    yield rule(in_set(_from(layer), BACKENDS), in_set((*_from(layer), *_to(layer)[::2]), DIRECT), goto(_OR_PASS))
    yield rule(in_set(_from(layer), BACKENDS), queue)
    yield rule(in_set(_to(layer)[:1], CLUSTER_IPS), queue)
    for network in sorted(table.service_cidrs):
        if Family.of(network) is layer.family:
            yield rule(statements.to_network(layer, network), queue)
    for kind in _ICMP_ERRORS[layer.family]:
        yield rule(_icmp(layer, kind), queue)
    yield rule(_is_later_piece(layer), queue)


def _leave(layer: Layer3) -> Iterator[Rule]:
    """Answers, which come from a frontend now. Those to packets are not tracked from before the engine."""
    yield rule(in_set(_from(layer), FRONTENDS), NOTRACK)
    yield rule(statements.FROM_THIS_HOST, in_set((PROTOCOL, SOURCE_PORT), NODE_PORTS), NOTRACK)


def _to(layer: Layer3) -> tuple[Field, ...]:
    return (fields.destination(layer), PROTOCOL, PORT)


def _from(layer: Layer3) -> tuple[Field, ...]:
    return (fields.source(layer), PROTOCOL, SOURCE_PORT)


def _to_node(layer: Layer3, table: ForwardingTable) -> tuple[Statement, ...]:
    """The destination is an address on which NodePorts answer."""
    if layer.family.any_address in table.node_addresses:
        return (statements.TO_THIS_HOST, statements.not_to_network(layer, layer.loopback))
    return (in_set((fields.destination(layer),), NODE_ADDRESSES),)


# --- statements that only this mode needs -------------------------------------------------------------------------

#: An expression without data: the kernel lists it without an empty attribute.
NOTRACK = Statement("notrack", nested(kernel.NFTA_LIST_ELEM, string(kernel.NFTA_EXPR_NAME, "notrack")))

_FIRST = fields.register(0)
_PAYLOAD_NETWORK, _PAYLOAD_TRANSPORT = 1, 2

#: Destination unreachable, time exceeded, parameter problem; packet too big in IPv6.
_ICMP_ERRORS = {Family.IPV4: (3, 11, 12), Family.IPV6: (1, 2, 3, 4)}
_ICMP_NUMBERS = {Family.IPV4: (1, "icmp"), Family.IPV6: (58, "icmpv6")}


def _compare(value: bytes, *, equal: bool = True) -> bytes:
    return expression(
        "cmp",
        number(1, _FIRST),
        number(2, 0 if equal else 1),
        statements.data(3, value),
    )


def _masked(mask: bytes) -> bytes:
    return expression(
        "bitwise",
        number(1, _FIRST),
        number(2, _FIRST),
        number(3, len(mask)),
        statements.data(4, mask),
        statements.data(5, bytes(len(mask))),
    )


def _icmp(layer: Layer3, kind: int) -> Statement:
    protocol, word = _ICMP_NUMBERS[layer.family]
    code = PROTOCOL.load(_FIRST) + _compare(bytes([protocol]))
    code += fields.payload(_PAYLOAD_TRANSPORT, 0, 1, _FIRST) + _compare(bytes([kind]))
    return Statement(f"meta l4proto {protocol} {word} type {kind}", code)


_FLAGS, _SYN = 13, 0x02  # in the TCP header (RFC 9293, 3.1)
_HAS_SYN = Statement(
    "tcp flags syn",
    PROTOCOL.load(_FIRST)
    + _compare(bytes([Protocol.TCP.number]))
    + fields.payload(_PAYLOAD_TRANSPORT, _FLAGS, 1, _FIRST)
    + _masked(bytes([_SYN]))
    + _compare(bytes(1), equal=False),
)


def _is_later_piece(layer: Layer3) -> Statement:
    """It is a fragment whose offset is not zero."""
    if layer.family is Family.IPV4:
        load = fields.payload(_PAYLOAD_NETWORK, 6, 2, _FIRST)
        return Statement("ip frag-off & 0x1fff != 0", load + _masked(b"\x1f\xff") + _compare(bytes(2), equal=False))
    load = expression("exthdr", number(1, _FIRST), attribute(2, bytes([44])), number(3, 2), number(4, 2))
    return Statement("frag frag-off != 0", load + _masked(b"\xff\xf8") + _compare(bytes(2), equal=False))


def queues(first: int, count: int) -> Queues:
    """`count` queues from `first` on, and as many behind them for what opens connections. In which a packet waits
    depends on the processor that it is met by."""
    return _queues(first, count, _queue)


def queues_by_xtables(first: int, count: int) -> Queues:
    """The same for kernels without nf_tables' own (CONFIG_NFT_QUEUE): iptables' target NFQUEUE, revision 3."""
    return _queues(first, count, _queue_by_xtables)


def _queues(first: int, count: int, queue: Callable[[int, int, int], Statement]) -> Queues:
    fanout = _FANOUT if count > 1 else 0
    others, opening = (
        Waiting(queue(number, count, fanout), queue(number, count, fanout | _BYPASS))
        for number in (first, first + count)
    )
    return Queues(opening, others)


def _queue(first: int, count: int, flags: int) -> Statement:
    words = ",".join(word for flag, word in ((_BYPASS, "bypass"), (_FANOUT, "fanout")) if flags & flag)
    numbers = f"{first}-{first + count - 1}" if count > 1 else str(first)
    code = expression(
        "queue", *(attribute(kind, struct.pack(">H", n)) for kind, n in ((1, first), (2, count), (3, flags)))
    )
    return Statement(f"queue {f'flags {words} ' if words else ''}to {numbers}", code)


def _queue_by_xtables(first: int, count: int, flags: int) -> Statement:
    information = struct.pack("=HHH2x", first, count, flags)
    code = expression("target", string(1, "NFQUEUE"), number(2, 3), attribute(3, information))
    return Statement('xt target "NFQUEUE"', code)


_BYPASS, _FANOUT = 0x1, 0x2  #: NFT_QUEUE_FLAG_BYPASS, _CPU_FANOUT; NFQ_FLAG_BYPASS, _CPU_FANOUT


# --- elements -----------------------------------------------------------------------------------------------------


def of_frontend(key: FrontendKey) -> tuple[str, Element]:
    """The element that brings packets to a frontend, with the name of its set."""
    protocol, port = fields.protocol(key.protocol.number), fields.port(key.port)
    if key.is_node_port:
        return NODE_PORTS, (protocol + port, NO_TAIL)
    return FRONTENDS, (fields.address(key.address) + protocol + port, NO_TAIL)


def of_backend(endpoint: Endpoint, protocol: Protocol) -> tuple[str, Element]:
    """The element that brings a backend's answers."""
    key = fields.address(endpoint.address) + fields.protocol(protocol.number) + fields.port(endpoint.port)
    return BACKENDS, (key, NO_TAIL)


def of_address(name: str, address: str) -> tuple[str, Element]:
    return name, (fields.address(address), NO_TAIL)
