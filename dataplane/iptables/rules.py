"""The words that rules are made of, as ``iptables-save`` prints them.

Written in that form, a rule can be compared with what the kernel gives back. A rule here is what follows
``-A CHAIN``; the parts of one are joined in the order in which ``iptables-save`` has them: addresses, interface and
protocol first, then matches in the order given, then the target.
"""

from __future__ import annotations

from dataplane.table import DetectLocal, Endpoint, Family, Protocol

_BITS = {Family.IPV4: 32, Family.IPV6: 128}
_LONGEST_COMMENT = 255
_MASKS = {Family.IPV4: "255.255.255.255", Family.IPV6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
_REJECT_WITH = {Family.IPV4: "icmp-port-unreachable", Family.IPV6: "icmp6-port-unreachable"}

LOOPBACK = {Family.IPV4: "127.0.0.0/8", Family.IPV6: "::1/128"}

NEW = "-m conntrack --ctstate NEW"
FROM_THIS_HOST = "-m addrtype --src-type LOCAL"
TO_THIS_HOST = "-m addrtype --dst-type LOCAL"

DROP = "-j DROP"
ACCEPT = "-j ACCEPT"
RETURN = "-j RETURN"


def rule(*parts: str) -> str:
    """A rule from its parts; empty ones stand for "any"."""
    return " ".join(filter(None, parts))


def comment(text: str) -> str:
    safe = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")[:_LONGEST_COMMENT]
    return f'-m comment --comment "{safe}"'


def network(address_or_network: str) -> str:
    """An address as a network of its own; a network as it is."""
    if "/" in address_or_network:
        return address_or_network
    return f"{address_or_network}/{_BITS[Family.of(address_or_network)]}"


def source(address_or_network: str) -> str:
    return f"-s {network(address_or_network)}"


def destination(address_or_network: str) -> str:
    return f"-d {network(address_or_network)}"


def to_port(protocol: Protocol, port: int, remark: str, *, more: str = "") -> str:
    """Packets for this port, with a remark for people. `more` are further matches."""
    name = protocol.lower()
    return rule(f"-p {name}", comment(remark), more, f"-m {name} --dport {port}")


def from_pod(detect: DetectLocal, family: Family, *, invert: bool = False) -> str:
    """Packets of local pods, or with `invert` all others. Only where pods can be told in this family.

    What this host sends itself has no input interface, and so is not a pod's where interfaces tell.
    """
    no = "! " if invert else ""
    pods = detect.network(family)
    if pods is not None:
        return f"{no}{source(pods)}"
    return f"{no}-i {detect.interface}{'+' * detect.prefix}"


def with_mark(mark: int, *, invert: bool = False) -> str:
    return f"-m mark {'! ' * invert}--mark {mark:#x}/{mark:#x}"


def set_mark(mark: int) -> str:
    return f"-j MARK --set-xmark {mark:#x}/{mark:#x}"


def flip_mark(mark: int) -> str:
    return f"-j MARK --set-xmark {mark:#x}/0x0"


def by_chance(share: int, of: int) -> str:
    """So many packets out of so many. The probability has ten decimals; the kernel keeps 31 bits of it."""
    return f"-m statistic --mode random --probability {share / of:.10f}"


def seen_within(memory: str, seconds: int, family: Family) -> str:
    """The source is in this list of xt_recent, since at most so many seconds; what is older is forgotten."""
    return f"-m recent --rcheck --seconds {seconds} --reap --name {memory} --mask {_MASKS[family]} --rsource"


def remember(memory: str, family: Family) -> str:
    """Write the source into this list of xt_recent, or renew it there."""
    return f"-m recent --set --name {memory} --mask {_MASKS[family]} --rsource"


def reject(family: Family) -> str:
    return f"-j REJECT --reject-with {_REJECT_WITH[family]}"


def jump(chain: str) -> str:
    return f"-j {chain}"


def translate(endpoint: Endpoint) -> str:
    return f"-j DNAT --to-destination {endpoint}"
