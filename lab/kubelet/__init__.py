"""The lab's kubelet: runs the pods that are bound to its node, and says in their status how they are.

As in a real cluster it watches the API for pods with its node's name, gives each an address of the node's pod CIDR
and a network namespace, starts it, probes it, restarts it, and takes its time to stop it. Unlike there, every
container is the built-in server of `lab.pod`, whatever its image, and all containers of a pod are one process: they
start, restart and end together.

Not done, because no lesson about Services needs it: volumes, resource limits, environment variables (but
DRAIN_SECONDS), hostPort, postStart hooks, SCTP ports; init containers are reported as done, sidecars as running.
"""

from lab.kubelet.kubelet import Kubelet

__all__ = ["Kubelet"]
