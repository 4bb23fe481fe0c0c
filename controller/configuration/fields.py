"""Every field of the configuration, with its flags: the one table that the parser, the checks and the docs are made of.

`instead` says what happens in place of what kube-proxy does. Where it is empty, the field is honoured. Whoever sets a
field that has no effect is told.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import msgspec

from controller.configuration.duration import Duration
from controller.configuration.schema import KubeProxyConfiguration


class Kind(enum.Enum):
    """What its value is, and how a flag writes it."""

    TEXT = "TEXT"
    NAME = "NAME"  #: one of a few
    BOOLEAN = "true|false"
    INTEGER = "N"
    NUMBER = "NUMBER"
    DURATION = "DURATION"
    WORDS = "WORD[,WORD]"
    GATES = "NAME=true|false[,...]"
    OTHER = ""  #: only in the file


class Field(NamedTuple):
    path: str  #: as in the file: ``conntrack.maxPerCore``
    kind: Kind
    flags: tuple[str, ...]
    meaning: str
    instead: str = ""


_NOT_TOUCHED = "what somebody else has made is never removed"
_NO_ADDRESSES = "Services' addresses are on no interface, so nobody answers ARP for them"
_WINDOWS = "only for Windows"
_JSON_ONLY = "the API is spoken in JSON"
_PACE = "requests are few (four watches), so they are not slowed down"
_LOGS = "standard error is written line by line, at once"

#: The one feature gate there is. On, unless it is said to be off.
EXTERNAL_IPS_GATE = "AllowServiceExternalIPs"

FIELDS = (
    Field("clientConnection.kubeconfig", Kind.TEXT, ("--kubeconfig",), "API server and credentials; empty: as a pod"),
    Field("clientConnection.acceptContentTypes", Kind.TEXT, (), "what to accept from the API server", _JSON_ONLY),
    Field("clientConnection.contentType", Kind.TEXT, ("--kube-api-content-type",), "what to send it", _JSON_ONLY),
    Field("clientConnection.qps", Kind.NUMBER, ("--kube-api-qps",), "requests a second", _PACE),
    Field("clientConnection.burst", Kind.INTEGER, ("--kube-api-burst",), "requests at once", _PACE),
    Field("hostnameOverride", Kind.TEXT, ("--hostname-override",), "this node's name; empty: the host's name"),
    Field("bindAddress", Kind.TEXT, ("--bind-address",), "takes the place of the primary node address; binds nothing"),
    Field("healthzBindAddress", Kind.TEXT, ("--healthz-bind-address",), "/healthz and /livez; empty flag: nowhere"),
    Field("metricsBindAddress", Kind.TEXT, ("--metrics-bind-address",), "/metrics and others; empty flag: nowhere"),
    Field("bindAddressHardFail", Kind.BOOLEAN, ("--bind-address-hard-fail",), "end if one of these is taken"),
    Field("enableProfiling", Kind.BOOLEAN, ("--profiling",), "pprof", "there is no pprof: py-spy needs no help"),
    Field(
        "showHiddenMetricsForVersion", Kind.TEXT, ("--show-hidden-metrics-for-version",),
        "metrics that are about to go", "no metric is hidden",
    ),
    Field(
        "featureGates", Kind.GATES, ("--feature-gates",),
        f"switches of features: {EXTERNAL_IPS_GATE}=false leaves external IPs unserved; others have no effect",
    ),
    Field("mode", Kind.NAME, ("--proxy-mode",), "how packets are treated: nftables, iptables, ipvs or userspace"),
    Field(
        "iptables.masqueradeBit", Kind.INTEGER, ("--iptables-masquerade-bit",),
        "in modes iptables and ipvs: bit of the mark"
    ),
    Field("iptables.masqueradeAll", Kind.BOOLEAN, (), "as nftables.masqueradeAll, in that mode"),
    Field(
        "iptables.localhostNodePorts", Kind.BOOLEAN, ("--iptables-localhost-nodeports",),
        "in that mode: NodePorts on 127.0.0.1 too, where they answer on all addresses",
    ),
    Field("iptables.syncPeriod", Kind.DURATION, (), "as nftables.syncPeriod, in that mode"),
    Field("iptables.minSyncPeriod", Kind.DURATION, (), "as nftables.minSyncPeriod, in that mode"),
    Field("ipvs.syncPeriod", Kind.DURATION, ("--ipvs-sync-period",), "as nftables.syncPeriod, in mode ipvs"),
    Field("ipvs.minSyncPeriod", Kind.DURATION, ("--ipvs-min-sync-period",), "as nftables.minSyncPeriod, in mode ipvs"),
    Field("ipvs.scheduler", Kind.NAME, ("--ipvs-scheduler",), "in that mode: how backends are chosen; empty: rr"),
    Field("ipvs.excludeCIDRs", Kind.WORDS, ("--ipvs-exclude-cidrs",), "virtual servers that stay", _NOT_TOUCHED),
    Field("ipvs.strictARP", Kind.BOOLEAN, ("--ipvs-strict-arp",), "ARP only where an address is", _NO_ADDRESSES),
    Field("ipvs.tcpTimeout", Kind.DURATION, ("--ipvs-tcp-timeout",), "in it: of idle connections; 0: as it is"),
    Field("ipvs.tcpFinTimeout", Kind.DURATION, ("--ipvs-tcpfin-timeout",), "in it: of closed ones; 0: as it is"),
    Field("ipvs.udpTimeout", Kind.DURATION, ("--ipvs-udp-timeout",), "in it: of UDP flows; 0: as it is"),
    Field("nftables.masqueradeBit", Kind.INTEGER, ("--masquerade-bit",), "bit of the packet mark, 0 to 31"),
    Field("nftables.masqueradeAll", Kind.BOOLEAN, ("--masquerade-all",), "masquerade all that goes to cluster IPs"),
    Field(
        "nftables.syncPeriod", Kind.DURATION, ("--iptables-sync-period", "--sync-period"),
        "the most time between two tries of a sync that fails; /healthz gives up after twice as long",
    ),
    Field(
        "nftables.minSyncPeriod", Kind.DURATION, ("--iptables-min-sync-period", "--min-sync-period"),
        "the least time between two syncs",
    ),
    Field("detectLocalMode", Kind.NAME, ("--detect-local-mode",), "how this node's pods are told from others"),
    Field("detectLocal.bridgeInterface", Kind.TEXT, ("--pod-bridge-interface",), "the bridge that they come in by"),
    Field(
        "detectLocal.interfaceNamePrefix", Kind.TEXT, ("--pod-interface-name-prefix",), "how their interfaces begin"
    ),
    Field("clusterCIDR", Kind.TEXT, ("--cluster-cidr",), "the pods' network, one of each family"),
    Field(
        "nodePortAddresses", Kind.WORDS, ("--nodeport-addresses",),
        "where NodePorts answer; empty: primary, and in modes iptables and ipvs everywhere",
    ),
    Field("oomScoreAdj", Kind.INTEGER, ("--oom-score-adj",), "this process, when memory is short; -1000 to 1000"),
    Field("conntrack.maxPerCore", Kind.INTEGER, ("--conntrack-max-per-core",), "connections to track for each CPU"),
    Field("conntrack.min", Kind.INTEGER, ("--conntrack-min",), "connections to track at least"),
    Field(
        "conntrack.tcpEstablishedTimeout", Kind.DURATION, ("--conntrack-tcp-timeout-established",),
        "of idle TCP connections",
    ),
    Field(
        "conntrack.tcpCloseWaitTimeout", Kind.DURATION, ("--conntrack-tcp-timeout-close-wait",),
        "of TCP connections in CLOSE_WAIT",
    ),
    Field("conntrack.tcpBeLiberal", Kind.BOOLEAN, ("--conntrack-tcp-be-liberal",), "take TCP out of its window"),
    Field("conntrack.udpTimeout", Kind.DURATION, ("--conntrack-udp-timeout",), "of UDP flows without an answer"),
    Field("conntrack.udpStreamTimeout", Kind.DURATION, ("--conntrack-udp-timeout-stream",), "of those with answers"),
    Field(
        "configSyncPeriod", Kind.DURATION, ("--config-sync-period",),
        "how often all objects are looked at again", "what changed is always known, so nothing is done twice",
    ),
    Field("logging.format", Kind.NAME, ("--logging-format",), "text or json"),
    Field("logging.flushFrequency", Kind.DURATION, ("--log-flush-frequency",), "how often logs are written", _LOGS),
    Field("logging.verbosity", Kind.INTEGER, ("-v", "--v"), "4 and more: say everything"),
    Field("logging.vmodule", Kind.OTHER, ("--vmodule",), "verbosity by file", "those are files of kube-proxy"),
    Field("logging.options", Kind.OTHER, (), "buffers of the log", _LOGS),
    Field("portRange", Kind.TEXT, (), "unused by kube-proxy too", "nothing"),
    Field("winkernel", Kind.OTHER, (), "Windows' own", _WINDOWS),
    Field("windowsRunAsService", Kind.BOOLEAN, (), "Windows' own", _WINDOWS),
)  # fmt: skip


def without_effect(configuration: KubeProxyConfiguration) -> list[str]:
    """One line for each field that is set and has no effect, and one for the feature gates that have none."""
    default = KubeProxyConfiguration()
    found = [
        f"{field.path}: no effect: {field.instead}"
        for field in FIELDS
        if field.instead
        and value_of(configuration, field.path) != value_of(default, field.path)
        and not _is_empty(value_of(configuration, field.path))
    ]
    if gates := sorted(configuration.feature_gates.keys() - {EXTERNAL_IPS_GATE}):
        found.append(f"featureGates: no effect: {', '.join(gates)}: there are no such gates here")
    return found


def _is_empty(value: object) -> bool:
    """Nothing in it but what kubeadm writes for "not said"."""
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value in (False, "", "0", "0s", Duration(0))


def value_of(configuration: msgspec.Struct, path: str) -> Any:
    """The value at a path of the file."""
    name, _, rest = path.partition(".")
    value = getattr(configuration, _attribute(configuration, name))
    return value_of(value, rest) if rest else value


def as_text(value: Any) -> str:
    """A value as its flag would be written."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ",".join(f"{name}={as_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def with_value(configuration: msgspec.Struct, path: str, value: Any) -> Any:
    """The same configuration with another value at this path."""
    name, _, rest = path.partition(".")
    attribute = _attribute(configuration, name)
    if rest:
        value = with_value(getattr(configuration, attribute), rest, value)
    return msgspec.structs.replace(configuration, **{attribute: value})


def _attribute(configuration: msgspec.Struct, name: str) -> str:
    return next(f.name for f in msgspec.structs.fields(configuration) if f.encode_name == name)
