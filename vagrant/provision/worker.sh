#!/bin/bash
# A worker: kubeadm join.
#
#   worker.sh NUMBER CONTROL-PLANE'S-NUMBER    as root, after node.sh; may run again
set -euo pipefail
# shellcheck source=vagrant/provision/common.sh
. /svcplane/vagrant/provision/common.sh
number=$1 control=$2

if [ -e /etc/kubernetes/kubelet.conf ]; then
    exit
fi
say "joining $NETWORK.$control"
# The certificate is not checked: nobody else is on this network, and the cluster is thrown away.
kubeadm join "$NETWORK.$control:6443" --token "$TOKEN" --discovery-token-unsafe-skip-ca-verification \
    >/var/log/kubeadm-join.log
say "joined as $NETWORK.$number"
