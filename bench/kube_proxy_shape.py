"""The same cluster in the shape that kube-proxy gives it, loaded with `nft` as kube-proxy does.

Runs as ``python -m bench.kube_proxy_shape N`` in a namespace of its own and prints one JSON object. It stands in for
kube-proxy where its binary is not at hand: a chain for each service port with an anonymous map of its endpoints; and
before each change the chains and sets are listed, as kube-proxy does to find stale ones. Its own work on Services is
not in it, so this is the least that it can take.
"""

from __future__ import annotations

import base64
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

from bench import workload

_CHANGES = 5

_SKELETON = f"""\
add table ip kube-proxy
add chain ip kube-proxy nat-prerouting {{ type nat hook prerouting priority dstnat ; }}
add chain ip kube-proxy nat-output {{ type nat hook output priority -100 ; }}
add chain ip kube-proxy nat-postrouting {{ type nat hook postrouting priority srcnat ; }}
add chain ip kube-proxy filter-forward {{ type filter hook forward priority filter ; }}
add chain ip kube-proxy services
add chain ip kube-proxy masquerading
add chain ip kube-proxy cluster-ips-check
add set ip kube-proxy cluster-ips {{ type ipv4_addr ; }}
add set ip kube-proxy hairpin-connections {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service ; }}
add map ip kube-proxy service-ips {{ type ipv4_addr . inet_proto . inet_service : verdict ; }}
add rule ip kube-proxy nat-prerouting jump services
add rule ip kube-proxy nat-output jump services
add rule ip kube-proxy nat-postrouting jump masquerading
add rule ip kube-proxy filter-forward ct state new jump cluster-ips-check
add rule ip kube-proxy masquerading mark and 0x4000 != 0 mark set mark xor 0x4000 masquerade fully-random
add rule ip kube-proxy masquerading ct status dnat ip saddr . ip daddr . meta l4proto . th dport \
@hairpin-connections masquerade fully-random
add rule ip kube-proxy cluster-ips-check ip daddr @cluster-ips reject
add rule ip kube-proxy cluster-ips-check ip daddr {{ {workload.SERVICE_CIDR} }} drop
add rule ip kube-proxy services ip daddr @cluster-ips ip saddr != {workload.CLUSTER_CIDR} mark set mark or 0x4000
add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
"""


def ruleset(services: int) -> Iterator[str]:
    """One transaction that programs everything, a command per line."""
    yield _SKELETON
    for number in range(services):
        yield f"add element ip kube-proxy cluster-ips {{ {workload.cluster_ip(number)} }}\n"
        for name, port, target in workload.PORTS:
            chain = _chain(number, name)
            yield f"add chain ip kube-proxy {chain}\n"
            yield _pick(number, name, target, range(workload.ENDPOINTS))
            key = f"{workload.cluster_ip(number)} . tcp . {port}"
            yield f"add element ip kube-proxy service-ips {{ {key} : goto {chain} }}\n"


def one_endpoint_gone(number: int) -> Iterator[str]:
    """The transaction that takes the last endpoint out of one Service: its chains are written again."""
    for name, _, target in workload.PORTS:
        yield f"flush chain ip kube-proxy {_chain(number, name)}\n"
        yield _pick(number, name, target, range(workload.ENDPOINTS - 1))


def _pick(number: int, name: str, target: int, endpoints: range) -> str:
    backends = ", ".join(
        f"{i} : {workload.endpoint_address(number, each)} . {target}" for i, each in enumerate(endpoints)
    )
    return (
        f"add rule ip kube-proxy {_chain(number, name)} "
        f"meta l4proto tcp dnat ip to numgen random mod {len(endpoints)} map {{ {backends} }}\n"
    )


def _chain(number: int, name: str) -> str:
    text = f"default/service-{number}/tcp/{name}"
    digest = base64.b32encode(hashlib.sha256(text.encode()).digest())[:8].decode()
    return f"service-{digest}-{text}"


def _load(commands: Iterable[str]) -> float:
    """Seconds that ``nft -f -`` takes for one transaction."""
    text = "".join(commands)
    began = time.perf_counter()
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)
    return time.perf_counter() - began


def _follow(commands: Iterable[str]) -> float:
    """Seconds for one sync: what is there, and the transaction."""
    began = time.perf_counter()
    for kind in ("chains", "sets"):
        subprocess.run(["nft", "--json", "list", kind, "ip"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began + _load(commands)


def main(services: int) -> dict[str, float]:
    cold = _load(ruleset(services))
    changes = [_follow(one_endpoint_gone(number * services // _CHANGES)) for number in range(_CHANGES)]
    return {"cold_s": cold, "change_median_ms": 1000 * statistics.median(changes)}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
