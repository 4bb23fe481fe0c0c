"""One Service whose packets tell what is programmed: it answers only when the dataplane has it, and says who answered.

Works the same for every dataplane, since it looks at nothing but packets.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time

from bench.workload import NODE_ADDRESS, Json

NAME = "canary"
ADDRESS = ("10.111.0.1", 80)
ENDPOINTS = ("10.250.0.1", "10.250.0.2")
PORT = 8080

_PATIENCE = 0.005  # seconds; an answer on the same machine takes a hundredth of that


def service() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"clusterIP": ADDRESS[0], "ports": [{"port": ADDRESS[1], "targetPort": PORT, "protocol": "UDP"}]},
    }


def endpoint_slice(which: int) -> Json:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": PORT, "protocol": "UDP"}],
        "endpoints": [{"addresses": [ENDPOINTS[which]], "conditions": {"ready": True}}],
    }


def prepare_network() -> None:
    """In this (empty) namespace: the node's address, the endpoints' addresses, and a route for all others."""
    for command in (
        "link set lo up",
        "link add node type veth peer name away",
        "link set away up",
        f"address add {NODE_ADDRESS}/24 dev node",
        *(f"address add {address}/32 dev node" for address in ENDPOINTS),
        "link set node arp off up",
        "route add default dev node",
    ):
        subprocess.run(["ip", *command.split()], check=True)


def start_endpoints() -> None:
    """Each endpoint answers every datagram with its own number."""
    for number, address in enumerate(ENDPOINTS):
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind((address, PORT))
        threading.Thread(target=_answer, args=(listener, number), daemon=True).start()


def wait_for(which: int, began: float, limit: float, agent: subprocess.Popen[bytes]) -> float:
    """Seconds from `began` until this endpoint answers at the Service's address.

    TimeoutError after `limit` seconds, or if the agent has ended before.
    """
    while _who_answers() != which:
        if time.perf_counter() - began > limit:
            raise TimeoutError(f"endpoint {which} of the canary did not answer in {limit} s")
        if agent.poll() is not None:
            raise TimeoutError(f"the agent ended with exit code {agent.returncode}")
    return time.perf_counter() - began


def _who_answers() -> int | None:
    # A socket of its own each time: the kernel would send the same flow to the same endpoint again.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(_PATIENCE)
        try:
            client.sendto(b"?", ADDRESS)
            return client.recv(1)[0]
        except TimeoutError:
            return None
        except OSError:  # refused: it has no endpoints yet
            time.sleep(_PATIENCE)
            return None


def _answer(listener: socket.socket, number: int) -> None:
    while True:
        _, client = listener.recvfrom(16)
        listener.sendto(bytes([number]), client)
