"""A whole cluster on one machine: what `svcplane lab` starts, stops and talks to.

`up` starts a supervisor in the background. The supervisor is the control plane and the kubelets, all in one event
loop, and keeps one agent process on each node, which reaches the API server through the lab's network as it would in
a real cluster. Everything of a lab is in two places: /run/svcplane/NAME and network namespaces called
svcplane.NAME.*; `down` removes both, also after a crash.
"""
