"""What the agent needs to know, from the configuration."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from controller.agent import AgentOptions
from controller.configuration.addresses import listen_address
from controller.configuration.decode import as_json
from controller.configuration.fields import EXTERNAL_IPS_GATE, FIELDS, as_text, value_of
from controller.configuration.schema import Iptables, Ipvs, KubeProxyConfiguration, Nftables
from controller.node import PRIMARY, NodeOptions, check_options
from controller.runner import Pace
from dataplane.table import Family

_HEALTHZ_PORT, _METRICS_PORT = 10256, 10249
_LOOPBACK = {Family.IPV4: "127.0.0.1", Family.IPV6: "[::1]"}
_EVERYWHERE = {Family.IPV4: "0.0.0.0", Family.IPV6: "[::]"}


def completed(configuration: KubeProxyConfiguration) -> KubeProxyConfiguration:
    """With the addresses that nothing was said about: of the family that `bindAddress` has."""
    family = Family.of(configuration.bind_address)
    found = configuration
    if found.healthz_bind_address is None:
        found = msgspec.structs.replace(found, healthz_bind_address=f"{_EVERYWHERE[family]}:{_HEALTHZ_PORT}")
    if found.metrics_bind_address is None:
        found = msgspec.structs.replace(found, metrics_bind_address=f"{_LOOPBACK[family]}:{_METRICS_PORT}")
    return found


def agent_options(
    configuration: KubeProxyConfiguration, host_name: str, *, forget_sctp: bool = False, traffic_series: int = 0
) -> AgentOptions:
    """From a complete configuration without problems, and what kube-proxy's has no field for."""
    pace = pace_of(configuration)
    return AgentOptions(
        node=replace(node_options(configuration, node_name(configuration, host_name)), forget_sctp=forget_sctp),
        pace=Pace(minimum=pace.min_sync_period.seconds, retry_most=pace.sync_period.seconds),
        healthz=listen_address(configuration.healthz_bind_address or "", _HEALTHZ_PORT),
        metrics=listen_address(configuration.metrics_bind_address or "", _METRICS_PORT),
        insist_on_addresses=configuration.bind_address_hard_fail,
        mode=configuration.mode,
        configuration=as_json(configuration),
        flags={flag: as_text(value_of(configuration, field.path)) for field in FIELDS for flag in field.flags[:1]},
        traffic_series=traffic_series,
    )


def rules_of(configuration: KubeProxyConfiguration) -> Nftables | Iptables:
    """What is said of the rules in the mode that is to be used. Mode ipvs has what iptables has, as in kube-proxy."""
    return configuration.iptables if configuration.mode in ("iptables", "ipvs") else configuration.nftables


def pace_of(configuration: KubeProxyConfiguration) -> Nftables | Iptables | Ipvs:
    """What is said of the time between syncs in that mode."""
    return configuration.ipvs if configuration.mode == "ipvs" else rules_of(configuration)


def node_name(configuration: KubeProxyConfiguration, host_name: str) -> str:
    """The name of this node's object."""
    return (configuration.hostname_override.strip() or host_name.strip()).lower()


def node_options(configuration: KubeProxyConfiguration, name: str) -> NodeOptions:
    """Checked. InputError names what is wrong by its flag."""
    mode = configuration.detect_local_mode
    # In the other modes kube-proxy does not look at it, so what stands there must not matter.
    networks = configuration.cluster_cidr.split(",") if mode == "ClusterCIDR" else ()
    return check_options(
        NodeOptions(
            name=name,
            detect_local_mode=mode,
            cluster_cidrs=tuple(n.strip() for n in networks if n.strip()),
            bridge_interface=configuration.detect_local.bridge_interface,
            interface_name_prefix=configuration.detect_local.interface_name_prefix,
            node_port_addresses=tuple(configuration.node_port_addresses) or _usual_addresses(configuration.mode),
            masquerade_all=rules_of(configuration).masquerade_all,
            bind_address=configuration.bind_address,
            external_ips=configuration.feature_gates.get(EXTERNAL_IPS_GATE, True),
        )
    )


def _usual_addresses(mode: str) -> tuple[str, ...]:
    """Where NodePorts answer when nothing is said: the older modes were there for all addresses."""
    return () if mode in ("iptables", "ipvs") else (PRIMARY,)
