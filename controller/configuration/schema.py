"""KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1: every field, with its default.

Defaults are kube-proxy's, but for two: `mode` is nftables, and `nftables.minSyncPeriod` is shorter, as a sync costs
so little. None stands for "not said"; `controller.configuration.options.completed` fills it in.
"""

from __future__ import annotations

from typing import Any

import msgspec

from controller.configuration.duration import Duration

API_VERSION = "kubeproxy.config.k8s.io/v1alpha1"
KIND = "KubeProxyConfiguration"


class _Struct(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    pass


class ClientConnection(_Struct, frozen=True):
    kubeconfig: str = ""
    accept_content_types: str = ""
    content_type: str = "application/vnd.kubernetes.protobuf"
    qps: float = 5
    burst: int = 10


class Logging(_Struct, frozen=True):
    format: str = "text"
    flush_frequency: Duration = Duration(5)
    verbosity: int = 0
    vmodule: list[dict[str, str | int]] = []
    options: dict[str, Any] = {}


class Iptables(_Struct, frozen=True):
    masquerade_bit: int = 14
    masquerade_all: bool = False
    localhost_node_ports: bool = True
    sync_period: Duration = Duration(30)
    min_sync_period: Duration = Duration(1)


class Ipvs(_Struct, frozen=True):
    sync_period: Duration = Duration(30)
    min_sync_period: Duration = Duration(0)
    scheduler: str = ""
    exclude_cidrs: list[str] = msgspec.field(default_factory=list, name="excludeCIDRs")
    strict_arp: bool = msgspec.field(default=False, name="strictARP")
    tcp_timeout: Duration = Duration(0)
    tcp_fin_timeout: Duration = Duration(0)
    udp_timeout: Duration = Duration(0)


class Nftables(_Struct, frozen=True):
    masquerade_bit: int = 14
    masquerade_all: bool = False
    sync_period: Duration = Duration(30)
    min_sync_period: Duration = Duration(0.05)


class DetectLocal(_Struct, frozen=True):
    bridge_interface: str = ""
    interface_name_prefix: str = ""


class Conntrack(_Struct, frozen=True):
    """Zero leaves the kernel's value as it is."""

    max_per_core: int = 32768
    min: int = 131072
    tcp_established_timeout: Duration = Duration(24 * 3600)
    tcp_close_wait_timeout: Duration = Duration(3600)
    tcp_be_liberal: bool = False
    udp_timeout: Duration = Duration(0)
    udp_stream_timeout: Duration = Duration(0)


class KubeProxyConfiguration(_Struct, frozen=True):
    """All of it. Addresses to listen on: None is the default, an empty text is nowhere."""

    api_version: str = API_VERSION
    kind: str = KIND
    feature_gates: dict[str, bool] = {}
    client_connection: ClientConnection = ClientConnection()
    logging: Logging = Logging()
    hostname_override: str = ""
    bind_address: str = "0.0.0.0"
    healthz_bind_address: str | None = None
    metrics_bind_address: str | None = None
    bind_address_hard_fail: bool = False
    enable_profiling: bool = False
    show_hidden_metrics_for_version: str = ""
    mode: str = "nftables"
    iptables: Iptables = Iptables()
    ipvs: Ipvs = Ipvs()
    nftables: Nftables = Nftables()
    winkernel: dict[str, Any] = {}
    detect_local_mode: str = "ClusterCIDR"
    detect_local: DetectLocal = DetectLocal()
    cluster_cidr: str = msgspec.field(default="", name="clusterCIDR")
    node_port_addresses: list[str] = []
    oom_score_adj: int = msgspec.field(default=-999, name="oomScoreAdj")
    conntrack: Conntrack = Conntrack()
    config_sync_period: Duration = Duration(900)
    port_range: str = ""
    windows_run_as_service: bool = False
