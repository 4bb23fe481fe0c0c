"""The proxy modes: what carries out a ForwardingTable, for each name that --proxy-mode takes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from controller.configuration.schema import KubeProxyConfiguration
from dataplane.conntrack_room import ConntrackRoom
from dataplane.conntrack_traffic import ConntrackTraffic
from dataplane.errors import InputError
from dataplane.interface import Dataplane, DataplaneError
from dataplane.iptables import IptablesDataplane, choose_variant
from dataplane.iptables.chain import Layout
from dataplane.iptables.sysctl import route_localnet
from dataplane.iptables.variant import AUTO, check_variant, installed_variants
from dataplane.ipvs import IpvsDataplane, Timeouts, ipvs_is_there
from dataplane.ipvs.sysctl import set_up as set_up_ipvs
from dataplane.nftables import NftablesDataplane
from dataplane.packets import PacketSource
from dataplane.table import ForwardingTable
from dataplane.traffic import TrafficSource
from dataplane.userspace.dataplane import UserspaceDataplane, leave_userspace, remove_userspace
from dataplane.userspace.host import accept_translated_sources
from dataplane.userspace.traffic import EngineTraffic
from svcplane import kube_proxy
from svcplane.userspace_flags import UserspaceFlags

_log = logging.getLogger(__name__)


class IptablesFlags(NamedTuple):
    """What is said of mode iptables beside the configuration."""

    variant: str = AUTO
    layout: str = Layout.KUBE_PROXY

    def check(self) -> None:
        """InputError if one is wrong, whatever the mode is now: the file may name another one later."""
        check_variant(self.variant)
        Layout.named(self.layout)


class ModeFlags(NamedTuple):
    """What is said of modes beside the configuration."""

    iptables: IptablesFlags = IptablesFlags()
    userspace: UserspaceFlags = UserspaceFlags()


class Closable(Dataplane, Protocol):
    """A dataplane that holds sockets."""

    def close(self) -> None:
        """Give them back; what is programmed stays."""


def _nftables(configuration: KubeProxyConfiguration, _: ModeFlags) -> Closable:
    return NftablesDataplane(mark_bit=configuration.nftables.masquerade_bit)


def _iptables(configuration: KubeProxyConfiguration, given: ModeFlags) -> Closable:
    rules, flags = configuration.iptables, given.iptables
    layout = Layout.named(flags.layout)
    return IptablesDataplane(
        choose_variant(flags.variant),
        rules.masquerade_bit,
        localhost_node_ports=rules.localhost_node_ports,
        layout=layout,
    )


def _ipvs(configuration: KubeProxyConfiguration, _: ModeFlags) -> Closable:
    said = configuration.ipvs
    timeouts = Timeouts(*(round(t.seconds) for t in (said.tcp_timeout, said.tcp_fin_timeout, said.udp_timeout)))
    return IpvsDataplane(said.scheduler or "rr", configuration.iptables.masquerade_bit, timeouts)


def _userspace(_: KubeProxyConfiguration, given: ModeFlags) -> Closable:
    return UserspaceDataplane(xdp=given.userspace.xdp(), in_python=given.userspace.in_python)


_MODES: Mapping[str, Callable[[KubeProxyConfiguration, ModeFlags], Closable]] = {
    "nftables": _nftables,
    "iptables": _iptables,
    "ipvs": _ipvs,
    "userspace": _userspace,
}


def mode_names() -> tuple[str, ...]:
    """All that --proxy-mode takes."""
    return tuple(_MODES)


def make_dataplane(configuration: KubeProxyConfiguration, flags: ModeFlags) -> Closable:
    """For the calling thread's network namespace. The configuration must be checked.

    InputError if this host is not as the flags want it, or they are wrong.
    """
    return _MODES[configuration.mode](configuration, flags)


def check_here(configuration: KubeProxyConfiguration, flags: ModeFlags) -> None:
    """InputError, one line, if this host lacks what the mode needs, and that shows before anything is changed."""
    flags.userspace.check_here()
    with _said_of(configuration.mode):
        make_dataplane(configuration, flags).close()


def try_out(configuration: KubeProxyConfiguration, flags: ModeFlags) -> None:
    """Carry out an empty table, and remove it again: all that the mode asks of a kernel is asked.

    In the calling thread's network namespace, which must be one where nothing is lost. InputError, one line, if
    something is missing.
    """
    with _said_of(configuration.mode), contextlib.closing(make_dataplane(configuration, flags)) as dataplane:
        try:
            dataplane.apply(ForwardingTable())
        finally:
            dataplane.cleanup()


@contextlib.contextmanager
def _said_of(mode: str) -> Iterator[None]:
    """What a dataplane lacks here is something that whoever chose the mode must be told."""
    try:
        yield
    except DataplaneError as error:
        raise InputError(f"mode {mode}: {str(error).removeprefix(f'{mode}: ')}") from error


def set_up_mode(configuration: KubeProxyConfiguration) -> None:
    """Make the settings of this host that the mode needs, as it does itself where it is allowed to.

    In the calling thread's network namespace. DataplaneError if one is refused.
    """
    addresses = configuration.node_port_addresses
    if configuration.mode == "iptables" and configuration.iptables.localhost_node_ports:
        if not addresses or "0.0.0.0/0" in addresses:
            route_localnet()
    elif configuration.mode == "ipvs":
        set_up_ipvs()
    elif configuration.mode == "userspace":
        accept_translated_sources()


def make_traffic(mode: str, dataplane: Closable) -> TrafficSource | None:
    """Who counts what this dataplane forwards, in the calling thread's network namespace. None if nobody can."""
    if isinstance(dataplane, UserspaceDataplane):
        return EngineTraffic(dataplane.tallies)
    try:
        # IPVS translates by itself: the kernel does not mark its connections as translated by NAT.
        return ConntrackTraffic(only_translated=mode != "ipvs")
    except OSError as error:
        _log.warning("traffic is not counted: the connection table can't be listened to: %s", error)
        return None


def packets_of(dataplane: Closable) -> PacketSource | None:
    """The dataplane itself, if it, and not the kernel, handles packets."""
    return dataplane if isinstance(dataplane, UserspaceDataplane) else None


def make_room() -> ConntrackRoom | None:
    """Who can say how full the connection table of the calling thread's network namespace is. None if nobody can."""
    try:
        return ConntrackRoom()
    except OSError as error:
        _log.warning("a full connection table will not be told of: %s", error)
        return None


def clean_up(mode: str) -> None:
    """Remove the rules of every mode.

    Kube-proxy's chains in iptables have the same names as ours; they go too only if `mode` is iptables.
    """
    _remove_nftables()
    remove_userspace()
    _remove_iptables(whoever_wrote_them=mode == "iptables")
    _with_ipvs(IpvsDataplane.cleanup)


def remove_predecessors(mode: str, table: ForwardingTable, *, kube_proxy_too: bool) -> None:
    """Remove what svcplane left here when it ran in another mode than this, and what kube-proxy did.

    The rules of `mode` must be in force, for this table. In mode iptables kube-proxy's chains are ours already.
    """
    if mode != "nftables":
        _remove_nftables()
    if mode != "userspace":
        leave_userspace(table)
    if mode != "iptables":
        _remove_iptables(whoever_wrote_them=kube_proxy_too and not kube_proxy.has_ipvs())
    if mode != "ipvs":
        _with_ipvs(_leave_ipvs)
    if kube_proxy_too:
        kube_proxy.remove_tables()


def _remove_nftables() -> None:
    dataplane = NftablesDataplane()
    try:
        dataplane.cleanup()
    finally:
        dataplane.close()


def _with_ipvs(work: Callable[[IpvsDataplane], object]) -> None:
    """Nothing is done, and nothing loaded, where IPVS is not at work."""
    if ipvs_is_there():
        dataplane = IpvsDataplane()
        try:
            work(dataplane)
        finally:
            dataplane.close()


def _leave_ipvs(dataplane: IpvsDataplane) -> None:
    if dataplane.was_here() and not dataplane.leave():
        _log.info("connections that IPVS mode has made are open: what they need stays until --cleanup, or a restart")


def _remove_iptables(*, whoever_wrote_them: bool) -> None:
    for dataplane in map(IptablesDataplane, installed_variants()):
        try:
            if dataplane.has_chains() and (whoever_wrote_them or dataplane.is_ours()):
                dataplane.cleanup()
                _log.info("a Service proxy's chains in iptables-%s are gone", dataplane.variant)
        finally:
            dataplane.close()
