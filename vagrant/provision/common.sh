# What the provisioning scripts agree on. Sourced, never run.
# shellcheck shell=bash disable=SC2034

NETWORK=192.168.56     # the machines: $NETWORK.NUMBER
PODS=10.244            # their pods: $PODS.NUMBER.0/24
SERVICES=10.96.0.0/12  # cluster IPs
# Who has this may join the cluster. It is written here because the cluster is on a private network, and not kept.
TOKEN=svcpla.0123456789abcdef

say() { printf '%s: %s\n' "$(hostname)" "$*"; }
