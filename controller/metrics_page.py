"""docs/metrics.md: every metric with its labels and meaning, as the agent's own registry tells them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

_OURS = ("kubeproxy_", "svcplane_", "rest_client_", "kubernetes_")

#: What kube-proxy v1.36 has, and why it is not here.
NOT_HERE = {
    "kubeproxy_sync_proxy_rules_iptables_total": "mode iptables: `iptables-save` counts its rules",
    "kubeproxy_sync_proxy_rules_iptables_last": "mode iptables: see `svcplane_operations_total`",
    "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total": "any failure makes the next sync whole: see "
    "`..._iptables_restore_failures_total`",
    "kubeproxy_iptables_ct_state_invalid_dropped_packets_total": "no nfacct object is made for it",
    "kubeproxy_iptables_localhost_nodeports_accepted_packets_total": "no nfacct object is made for it",
    "kubernetes_feature_enabled": "`/configz` has the one feature gate that there is",
}

_HEAD = """\
# What the agent measures

At `metricsBindAddress` (127.0.0.1:10249 unless told otherwise), path `/metrics`. What begins with `kubeproxy_`,
`kubernetes_` and `rest_client_` is kube-proxy's, so its dashboards go on working; what begins with `svcplane_`
kube-proxy has not. Those of the process (`process_*`, `python_gc_*`) come in addition. The most important ones are
in `deploy/grafana-dashboard.json`.

Both families are programmed in one transaction, so metrics with the label `ip_family` have the same values for both,
but for `no_local_endpoints`. Names are those of mode nftables. A test makes this page from a running agent.

Traffic comes from the kernel's connection table, which the agent has count (`net.netfilter.nf_conntrack_acct`) when it
starts; of connections from before only their number of packets is missing. In mode userspace it comes from the engine,
and `svcplane_port_*` and `svcplane_engine_*` are only there. The connection table is looked at when somebody asks for
metrics, at most every five seconds: with 100,000 connections that takes the kernel about a third of a second. What
connections carried that end in between is told by the kernel. Counters begin at zero with the agent. A Service's
traffic is that of all its addresses. Whoever is beyond `--traffic-series` is summed up with the labels `other`; a
Service that is deleted loses its series, and so does a backend that left and carries nothing any more.

In mode userspace Services' connections are in the engine's table, not in the kernel's: there `svcplane_service_*`,
`svcplane_backend_*` and `kubeproxy_conntrack_reconciler_*` stay at zero, `svcplane_connection_table_*` is about all
other connections, and `svcplane top` shows the traffic. Flows are forgotten as in the other modes, but not counted.

| Metric | Type | Labels | Meaning |
|---|---|---|---|"""


def metrics_page(registry: CollectorRegistry) -> str:
    """In Markdown. A metric that has no sample yet shows no labels."""
    lines = [_HEAD]
    for family in sorted(registry.collect(), key=lambda f: f.name):
        if family.name.startswith(_OURS):
            name = family.name + "_total" * (family.type == "counter")
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            shown = ", ".join(f"`{label}`" for label in sorted(labels))
            meaning = family.documentation.replace("<", "&lt;")
            lines.append(f"| `{name}` | {family.type} | {shown} | {meaning} |")
    lines += ["", _NOT_HERE_HEAD]
    lines += (f"| `{name}` | {reason} |" for name, reason in NOT_HERE.items())
    return "\n".join(lines) + "\n"


_NOT_HERE_HEAD = """\
What kube-proxy v1.36 has besides, and is not here (nor are the metrics of Go's runtime and client):

| Metric | Why |
|---|---|"""
