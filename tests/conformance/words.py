"""Words for writing cases: each makes a plain mapping in the form of the recorded ones.

Services are called ``a`` unless told, have the cluster IP 10.96.10.1, and serve port 80 (TCP, the pods' 8080). Hosts
and pods are those of `setting`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.setting import ADDRESSES, NODE_OF

Json = dict[str, Any]

CLUSTER_IP, CLUSTER_IP6 = "10.96.10.1", "fd00:10:96::a1"
EXTERNAL_IP = "198.51.100.9"
VIP, VIP_2, VIP6 = "198.51.100.7", "198.51.100.8", "2001:db8::7"
N1, N1_6 = ADDRESSES["n1"]

ALL_BACKENDS = ("b1", "b2", "b3", "b4")
BOTH = [CLUSTER_IP, CLUSTER_IP6]

HTTP = {"name": "http", "port": 80, "protocol": "TCP"}
DNS = {"name": "dns", "port": 53, "protocol": "UDP"}
TARGETS = {"http": 8080, "dns": 5353, "other": 8081}
ON_HOST = {"http": 9090, "dns": 9090}  #: targets of pods with hostNetwork

LOCAL_OUTSIDE: Json = {"externalTrafficPolicy": "Local"}
LOCAL_INSIDE: Json = {"internalTrafficPolicy": "Local"}


def http(node_port: int) -> Json:
    return {**HTTP, "nodePort": node_port}


def dns(node_port: int) -> Json:
    return {**DNS, "nodePort": node_port}


def service(
    *ports: Json,
    name: str = "a",
    labels: dict[str, str] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    vips: Iterable[Json | str] = (),
    **spec: Any,
) -> Json:
    """A Service. `vips` are its load-balancer addresses (``status.loadBalancer.ingress``)."""
    ports = ports or (HTTP,)
    ingress = [vip if isinstance(vip, dict) else {"ip": vip} for vip in vips]
    kind = "LoadBalancer" if ingress else "NodePort" if any("nodePort" in p for p in ports) else "ClusterIP"
    addresses = spec.pop("clusterIPs", [spec.get("clusterIP", CLUSTER_IP)])
    families = ["IPv6" if ":" in address else "IPv4" for address in addresses]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels or {}, "creationTimestamp": created},
        "spec": {
            "type": kind,
            "clusterIP": addresses[0],
            "clusterIPs": addresses,
            "ipFamilies": families,
            "ports": list(ports),
            **spec,
        },
        "_status": {"loadBalancer": {"ingress": ingress}},
    }


def pod(name: str, **more: Any) -> Json:
    """An endpoint on a pod; a node's name stands for a pod with hostNetwork there."""
    hints = {key: [{"name": n} for n in more.pop(key)] for key in ("forZones", "forNodes") if key in more}
    return {"pod": name, "conditions": {"ready": True, **more}, **({"hints": hints} if hints else {})}


def draining(name: str) -> Json:
    return pod(name, ready=False, serving=True, terminating=True)


def stopped(name: str) -> Json:
    return pod(name, ready=False, serving=False, terminating=True)


def unready(name: str) -> Json:
    return pod(name, ready=False, serving=False, terminating=False)


def piece(
    *endpoints: Json | str,
    of: str = "a",
    name: str = "",
    ports: Iterable[str] = ("http", "dns"),
    targets: dict[str, int] | None = None,
    ipv6: bool = False,
    labels: dict[str, str] | None = None,
) -> Json:
    """An EndpointSlice. A pod's name stands for a ready endpoint on it."""
    found = []
    for each in endpoints:
        described = pod(each) if isinstance(each, str) else each
        on = described["pod"]
        node = NODE_OF.get(on, on)
        rest = {key: value for key, value in described.items() if key != "pod"}
        found.append({"addresses": [ADDRESSES[on][ipv6]], "nodeName": node, **rest})
    numbers = {**TARGETS, **(targets or {})}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name or f"{of}-{6 if ipv6 else 4}",
            "labels": {"kubernetes.io/service-name": of, **(labels or {})},
        },
        "addressType": "IPv6" if ipv6 else "IPv4",
        "endpoints": found,
        "ports": [
            {"name": port, "port": numbers[port], "protocol": "UDP" if port == "dns" else "TCP"} for port in ports
        ],
    }


def step(*objects: Json, delete: Iterable[str] = (), probes: Iterable[Json] = (), restart: bool = False) -> Json:
    return {"apply": list(objects), "delete": list(delete), "probes": list(probes), "restart": restart}


def case(name: str, *steps: Json, **about: Any) -> Json:
    return {"name": name, "steps": list(steps), **about}


# --- Probes and what they should see ----------------------------------------------------------------------------


def ask(client: str, address: str, port: int = 80, protocol: str = "TCP", **how: Any) -> Json:
    """Half a probe: what is asked. Call `reaches`, `stays`, `fails` and the like on it for the other half."""
    return {"from": client, "dst": address, "port": port, "proto": protocol, **how}


def reaches(asked: Json, *pods: str, seen_as: Iterable[str] | str) -> Json:
    """Exactly these pods answer, and they see these machines."""
    sources = [seen_as] if isinstance(seen_as, str) else list(seen_as)
    return {**asked, "expect": {"any": {"pods": list(pods), "src": sources, "err": []}}}


SOME_ERROR = "some error"
"""Nobody answers. What the client sees depends on who is asked for the way, and how busy he is."""


def fails(asked: Json, error: str, *, iptables: str = "") -> Json:
    """Every try meets this error. `iptables`: another one in that mode, or `SOME_ERROR`."""
    return {**asked, "expect": {"nftables": _nothing_but(error), "iptables": _nothing_but(iptables or error)}}


def _nothing_but(error: str) -> Json:
    return {"pods": [], "src": []} | ({} if error == SOME_ERROR else {"err": [error]})


def stays(asked: Json, seen_as: str, among: Iterable[str] = ("b1", "b2", "b3", "b4")) -> Json:
    """All answers come from one of these pods."""
    return {**asked, "expect": {"any": {"one": 1, "among": list(among), "src": [seen_as], "err": []}}}


def moves(asked: Json) -> Json:
    """More than one pod answers."""
    return {**asked, "expect": {"any": {"many": True, "err": []}}}


def holds(client: str, address: str, port: int, pod: str, seen_as: str, name: str = "k") -> Json:
    """A connection is opened and kept."""
    expect = {"any": {"pod": pod, "peer": seen_as}}
    return {"hold": name, "from": client, "dst": address, "port": port, "expect": expect}


def still_holds(pod: str, seen_as: str, name: str = "k") -> Json:
    """It still leads to the same pod."""
    return {"held": name, "expect": {"any": {"pod": pod, "peer": seen_as}}}


def health(client: str, address: str, port: int, status: int | None, endpoints: int = 0) -> Json:
    """What a health check port answers; None: nobody is there."""
    seen = {"http": "refused"} if status is None else {"http": str(status), "localEndpoints": endpoints}
    return {"http": f"http://{address}:{port}/healthz", "from": client, "expect": {"any": seen}}


def echo(client: str, address: str, *, answered: bool) -> Json:
    """An ICMP echo request."""
    return {"from": client, "ping": address, "expect": {"any": {"ping": answered}}}
