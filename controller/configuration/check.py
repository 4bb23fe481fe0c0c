"""What is wrong with a configuration, field by field."""

from __future__ import annotations

import re
from collections.abc import Iterator

from controller.configuration.addresses import listen_address
from controller.configuration.fields import FIELDS, value_of
from controller.configuration.options import node_options, pace_of
from controller.configuration.schema import KubeProxyConfiguration
from dataplane.errors import InputError
from dataplane.ipvs.servers import SCHEDULERS

MODES = ("nftables", "iptables", "ipvs", "userspace")
_LONGEST_NODE_NAME = 253
_NODE_NAME = re.compile(r"{0}(\.{0})*".format(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"))
_LONGEST_INTERFACE_NAME = 15  # IFNAMSIZ without the zero at its end

_RANGES = {
    "nftables.masqueradeBit": (0, 31),
    "iptables.masqueradeBit": (0, 31),
    "oomScoreAdj": (-1000, 1000),
    "conntrack.maxPerCore": (0, 2**31 - 1),
    "conntrack.min": (0, 2**31 - 1),
    "logging.verbosity": (0, 2**31 - 1),
}


def problems(configuration: KubeProxyConfiguration) -> Iterator[tuple[str, str]]:
    """(path of the field, what is wrong with it). Fields without effect can't be wrong."""
    yield from _words(configuration)
    for path, (least, most) in _RANGES.items():
        value = value_of(configuration, path)
        if not least <= value <= most:
            yield path, f"{value} is not between {least} and {most}"
    yield from _durations(configuration)
    yield from _addresses(configuration)
    yield from _interfaces(configuration)
    try:
        node_options(configuration, "any")
    except InputError as error:
        flag, _, text = str(error).partition(": ")
        yield next((field.path for field in FIELDS if flag in field.flags), flag), text


def _words(configuration: KubeProxyConfiguration) -> Iterator[tuple[str, str]]:
    mode = configuration.mode
    if mode not in MODES:
        yield "mode", f"{mode!r} is none of {', '.join(MODES)}"
    if mode == "ipvs" and (configuration.ipvs.scheduler or SCHEDULERS[0]) not in SCHEDULERS:
        yield "ipvs.scheduler", f"{configuration.ipvs.scheduler!r} is none of {', '.join(SCHEDULERS)}"
    if configuration.hostname_override:
        name = configuration.hostname_override.strip().lower()
        if not name:
            yield "hostnameOverride", "is blank"
        elif len(name) > _LONGEST_NODE_NAME or not _NODE_NAME.fullmatch(name):
            expected = f"letters, digits, - and ., as RFC 1123 has it, at most {_LONGEST_NODE_NAME} characters"
            yield "hostnameOverride", f"{name!r} can be no node's name (expected {expected})"
    if configuration.logging.format not in ("text", "json"):
        yield "logging.format", f"{configuration.logging.format!r} is neither text nor json"


def _durations(configuration: KubeProxyConfiguration) -> Iterator[tuple[str, str]]:
    rules, mode = pace_of(configuration), configuration.mode
    if mode not in MODES:
        mode = MODES[0]
    if rules.sync_period.seconds <= 0:
        yield f"{mode}.syncPeriod", f"{rules.sync_period} is not longer than nothing"
    if rules.min_sync_period.seconds < 0:
        yield f"{mode}.minSyncPeriod", f"{rules.min_sync_period} is less than nothing"
    elif rules.min_sync_period.seconds > rules.sync_period.seconds:
        yield f"{mode}.minSyncPeriod", f"{rules.min_sync_period} is longer than syncPeriod, {rules.sync_period}"
    for name in ("tcpTimeout", "tcpFinTimeout", "udpTimeout"):
        timeout = value_of(configuration.ipvs, name)
        if timeout.seconds < 0:
            yield f"ipvs.{name}", f"{timeout} is less than nothing"
    for name in ("tcpEstablishedTimeout", "tcpCloseWaitTimeout", "udpTimeout", "udpStreamTimeout"):
        timeout = value_of(configuration.conntrack, name)
        if timeout.seconds < 0:
            yield f"conntrack.{name}", f"{timeout} is less than nothing"


def _addresses(configuration: KubeProxyConfiguration) -> Iterator[tuple[str, str]]:
    for path in ("healthzBindAddress", "metricsBindAddress"):
        try:
            listen_address(value_of(configuration, path) or "", 1)
        except ValueError as error:
            yield path, str(error)


def _interfaces(configuration: KubeProxyConfiguration) -> Iterator[tuple[str, str]]:
    for path in ("detectLocal.bridgeInterface", "detectLocal.interfaceNamePrefix"):
        name = value_of(configuration, path)
        if len(name) > _LONGEST_INTERFACE_NAME or "/" in name or any(c.isspace() for c in name):
            yield path, f"{name!r} is no name of an interface (at most {_LONGEST_INTERFACE_NAME} characters)"
