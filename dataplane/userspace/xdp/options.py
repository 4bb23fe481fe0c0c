"""What is said of AF_XDP by whoever runs it: which interfaces, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from dataplane.errors import InputError
from dataplane.netlink.routing import LinkState
from dataplane.table import DetectLocal
from dataplane.userspace.xdp.port import VETH, Where, XdpLimits, XdpPort

_WILD = frozenset("*?[")  #: a name with one of these is a pattern (fnmatch)


@dataclass(frozen=True, slots=True)
class XdpOptions:
    """`interfaces` are patterns of names like ``pod-*`` or ``eth0``; none given, it is every veth, which is where pods
    are. `busy_poll` is how many microseconds a driver is asked for packets at once, 0 to wait for interrupts."""

    interfaces: tuple[str, ...] = ()
    where: Where = Where.AUTO
    busy_poll: int = 0
    limits: XdpLimits = field(default_factory=XdpLimits)

    def port(self, pods: DetectLocal) -> XdpPort:
        """A port of this kind. InputError if there can be none here."""
        return XdpPort(
            self.selects,
            pods,
            where=self.where,
            limits=self.limits,
            busy_poll=self.busy_poll,
            names=frozenset(name for name in self.interfaces if not _WILD.intersection(name)),
        )

    def selects(self, link: LinkState) -> bool:
        """Whether an interface is one of those that are meant."""
        if self.interfaces:
            return any(fnmatchcase(link.name, pattern) for pattern in self.interfaces)
        return link.kind == VETH


def xdp_options(interfaces: Iterable[str], where: str, busy_poll: int) -> XdpOptions:
    """From flags. InputError if one of them makes no sense."""
    try:
        place = Where(where)
    except ValueError:
        raise InputError(f"--xdp-mode {where!r}: expected auto, native or generic") from None
    if busy_poll < 0:
        raise InputError(f"--xdp-busy-poll {busy_poll}: expected microseconds, or 0 for none")
    return XdpOptions(tuple(interfaces), place, busy_poll)
