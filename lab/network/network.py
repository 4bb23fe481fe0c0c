"""A topology made real: namespaces, a bridge, cables, addresses and routes.

Neighbours between a pod and its node are written down instead of asked for, so the gateway addresses 169.254.1.1 and
fe80::1 need not exist anywhere, and the first packet is as fast as the second.
"""

from __future__ import annotations

import contextlib
import hashlib
from ipaddress import ip_address, ip_network

from dataplane.addresses import host_network
from lab.network.links import Links, inside
from lab.network.namespace import Namespace
from lab.network.topology import Host, Pod, Topology, first_of_family

SEGMENT = "segment"  #: the machine that holds the bridge
GATEWAYS = {4: "169.254.1.1", 6: "fe80::1"}  #: of every pod, by IP version
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}

_BRIDGE = "br0"
_INTERFACE = "eth0"

#: No host waits to find out whether another has its address: the topology has said who has it.
_NO_ADDRESS_DETECTION = {
    "net/ipv6/conf/all/accept_dad": 0,
    "net/ipv6/conf/default/accept_dad": 0,
    "net/ipv6/conf/default/dad_transmits": 0,
}

#: A node forwards. What answers a client may leave by another way than the question came (rp_filter off), every
#: REJECT must be seen (no ICMP rate limits), and nobody is told of shorter ways round the node (send_redirects).
_ROUTER = {
    "net/ipv4/ip_forward": 1,
    "net/ipv6/conf/all/forwarding": 1,
    "net/ipv6/conf/default/forwarding": 1,
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv4/conf/all/send_redirects": 0,
    "net/ipv4/conf/default/send_redirects": 0,
    "net/ipv4/icmp_ratelimit": 0,
    "net/ipv6/icmp/ratelimit": 0,
    # Nor the limit for all receivers together, which these masks of message types switch on (255 is none).
    "net/ipv4/icmp_ratemask": 0,
    "net/ipv6/icmp/ratemask": 255,
}


class Network:
    """The machines of one lab, by name."""

    def __init__(self, lab: str, topology: Topology) -> None:
        self.lab = lab
        self.topology = topology
        self.machines: dict[str, Namespace] = {}
        self._pods: dict[str, Pod] = {}

    def __getitem__(self, machine: str) -> Namespace:
        return self.machines[machine]

    def create(self) -> Network:
        """Make everything. If that fails, what was made is removed again before the error is raised."""
        try:
            segment = self._machine(SEGMENT)
            segment.set_parameters({"net/ipv6/conf/default/disable_ipv6": 1})
            inside(segment, lambda links: links.add_bridge(_BRIDGE))
            for host in self.topology.hosts:
                self._add_host(host, segment)
            for host in self.topology.hosts:
                self._add_routes(host)
            for pod in self.topology.pods:
                self.add_pod(pod)
        except BaseException:
            self.delete()
            raise
        return self

    def add_pod(self, pod: Pod) -> Namespace:
        """Make a pod's machine and join it to its node."""
        node = self.machines[pod.node]
        machine = self._machine(pod.name)
        try:
            self._join_pod(pod, node, machine)
        except BaseException:
            self.machines.pop(pod.name).delete()
            raise
        self._pods[pod.name] = pod
        return machine

    def remove_pod(self, name: str) -> None:
        """Cut a pod off at once, also from connections that are open. Nothing there is fine."""
        pod = self._pods.pop(name, None)
        if pod is None:
            return
        # The cable goes from this end: the pod's namespace itself stays as long as anybody has a socket in it.
        with contextlib.suppress(KeyError):
            inside(self.machines[pod.node], lambda links: links.delete(pod_interface(name)))
        self.machines.pop(name).delete()

    def delete(self) -> None:
        """Remove all machines that this object made."""
        for machine in self.machines.values():
            machine.delete()
        self.machines.clear()
        self._pods.clear()

    def _machine(self, name: str) -> Namespace:
        machine = Namespace(self.lab, name).create()
        self.machines[name] = machine
        return machine

    def _add_host(self, host: Host, segment: Namespace) -> None:
        machine = self._machine(host.name)
        machine.set_parameters(_NO_ADDRESS_DETECTION | (_ROUTER if host.forwards else {}))

        def plug_in(links: Links) -> None:
            links.add_veth(host.name, machine, _INTERFACE)
            links.add_to_bridge(host.name, _BRIDGE)
            links.up(host.name)

        def set_up(links: Links) -> None:
            for address in host.addresses:
                links.add_address(_INTERFACE, f"{address}/{self._segment_length(address)}")
            links.up(_INTERFACE)

        inside(segment, plug_in)
        inside(machine, set_up)

    def _segment_length(self, address: str) -> int:
        return next(
            network.prefixlen
            for network in map(ip_network, self.topology.segment_cidrs)
            if ip_address(address) in network
        )

    def _add_routes(self, host: Host) -> None:
        def add(links: Links) -> None:
            for other in self.topology.hosts:
                for cidr in other.pod_cidrs if other is not host else ():
                    via = first_of_family(other.addresses, ip_network(cidr).version)
                    if via is not None:
                        links.add_route(cidr, via=via)
            if host.gateway is not None:
                for via in self.topology.host(host.gateway).addresses:
                    links.add_route(EVERYWHERE[ip_address(via).version], via=via)

        inside(self.machines[host.name], add)

    def _join_pod(self, pod: Pod, node: Namespace, machine: Namespace) -> None:
        machine.set_parameters(_NO_ADDRESS_DETECTION)
        near, far = _mac(f"{pod.name} node"), _mac(f"{pod.name} pod")
        name = pod_interface(pod.name)
        host = self.topology.host(pod.node)

        def on_node(links: Links) -> None:
            links.add_veth(name, machine, _INTERFACE, mac=near, peer_mac=far)
            links.up(name)
            for address in pod.addresses:
                source = first_of_family(host.addresses, ip_address(address).version)
                links.add_neighbour(name, address, far)
                links.add_route(host_network(address), name=name, source=source)

        def in_pod(links: Links) -> None:
            links.up(_INTERFACE)
            for address in pod.addresses:
                version = ip_address(address).version
                gateway = GATEWAYS[version]
                links.add_address(_INTERFACE, host_network(address))
                links.add_neighbour(_INTERFACE, gateway, near)
                if version == 4:
                    links.add_route(host_network(gateway), name=_INTERFACE)
                links.add_route(EVERYWHERE[version], via=gateway, name=_INTERFACE)

        inside(node, on_node)
        inside(machine, in_pod)


def pod_interface(name: str) -> str:
    """What the node calls its end of a pod's cable. The kernel allows 15 characters."""
    short = f"pod-{name}"
    return short if len(short) <= 15 else f"pod-{hashlib.sha256(name.encode()).hexdigest()[:11]}"


def _mac(seed: str) -> str:
    """A hardware address of our own making: locally administered, not multicast (IEEE 802, the two low bits)."""
    octets = bytearray(hashlib.sha256(seed.encode()).digest()[:6])
    octets[0] = octets[0] & 0xFC | 0x02
    return octets.hex(":")
