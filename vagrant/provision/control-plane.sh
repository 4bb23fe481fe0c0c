#!/bin/bash
# The control plane: kubeadm init. Pods get their addresses from each machine's own range, so none are handed out here.
#
#   control-plane.sh NUMBER RELEASE            as root, after node.sh; may run again
set -euo pipefail
# shellcheck source=vagrant/provision/common.sh
. /svcplane/vagrant/provision/common.sh
number=$1 release=$2
export KUBECONFIG=/etc/kubernetes/admin.conf

if [ ! -e "$KUBECONFIG" ]; then
    say "making a control plane"
    cat >/run/kubeadm.yaml <<CONFIG
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: $NETWORK.$number}
bootstrapTokens:
- {token: $TOKEN, ttl: 0s}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $(kubeadm version -o short)
networking: {serviceSubnet: $SERVICES}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $PODS.0.0/16
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
CONFIG
    kubeadm init --config /run/kubeadm.yaml >/var/log/kubeadm-init.log
fi

install -d -o vagrant -g vagrant ~vagrant/.kube
install -o vagrant -g vagrant -m 600 "$KUBECONFIG" ~vagrant/.kube/config
say "control plane of Kubernetes $release is up"
