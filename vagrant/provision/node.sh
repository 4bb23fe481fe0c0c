#!/bin/bash
# Any machine of the cluster: containerd, kubeadm, kubelet, kubectl; a plain pod network; what the bench needs.
#
#   node.sh NUMBER "ALL NUMBERS" RELEASE       as root; may run again
set -euo pipefail
# shellcheck source=vagrant/provision/common.sh
. /svcplane/vagrant/provision/common.sh
number=$1 all=$2 release=$3
export DEBIAN_FRONTEND=noninteractive

install_packages() {
    local wanted=(containerd containernetworking-plugins conntrack ethtool ipset ipvsadm iptables nftables
                  ca-certificates curl gpg gcc libc6-dev make python3-dev python3-venv)
    if dpkg-query -W "${wanted[@]}" >/dev/null 2>&1; then
        return
    fi
    say "installing packages"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}

# The Kubernetes project's own packages: Debian has none of kubelet and kubeadm.
install_kubernetes() {
    if [ "$(kubeadm version -o short 2>/dev/null | cut -d. -f1,2)" = "$release" ]; then
        return
    fi
    say "installing kubeadm, kubelet and kubectl $release"
    local source=https://pkgs.k8s.io/core:/stable:/$release/deb
    mkdir -p /etc/apt/keyrings
    curl -fsSL "$source/Release.key" | gpg --dearmor --yes -o /etc/apt/keyrings/kubernetes.gpg
    echo "deb [signed-by=/etc/apt/keyrings/kubernetes.gpg] $source/ /" >/etc/apt/sources.list.d/kubernetes.list
    apt-get update -qq
    apt-get install -y -qq --allow-change-held-packages kubeadm kubelet kubectl >/dev/null
    apt-mark hold kubeadm kubelet kubectl >/dev/null
}

# Kubelet wants no swap; kube-proxy and pods want routed and bridged packets to meet the host's rules.
prepare_kernel() {
    swapoff -a
    sed -i '/\sswap\s/s/^[^#]/#&/' /etc/fstab
    printf '%s\n' br_netfilter overlay ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh nf_conntrack \
        >/etc/modules-load.d/svcplane.conf
    xargs -n 1 modprobe </etc/modules-load.d/svcplane.conf
    printf '%s\n' net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 \
        >/etc/sysctl.d/90-svcplane.conf
    sysctl -q -p /etc/sysctl.d/90-svcplane.conf
}

# As plain as can be, so that what is measured is the Service dataplane: a bridge, and a route to each other machine.
make_pod_network() {
    mkdir -p /etc/cni/net.d
    cat >/etc/cni/net.d/10-pods.conflist <<CONFIG
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "$PODS.$number.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    }
  ]
}
CONFIG
    {
        echo '[Unit]'
        echo 'Description=Routes to the pods of the other machines'
        echo 'After=network-online.target'
        echo 'Wants=network-online.target'
        echo '[Service]'
        echo 'Type=oneshot'
        echo 'RemainAfterExit=yes'
        for other in $all; do
            if [ "$other" != "$number" ]; then
                echo "ExecStart=/sbin/ip route replace $PODS.$other.0/24 via $NETWORK.$other"
            fi
        done
        echo '[Install]'
        echo 'WantedBy=multi-user.target'
    } >/etc/systemd/system/pod-routes.service
    systemctl daemon-reload
    systemctl enable -q --now pod-routes.service
    systemctl restart pod-routes.service
}

configure_containerd() {
    mkdir -p /etc/containerd /opt/cni/bin
    # kubernetes-cni brings the plugins to /opt/cni/bin; without it those of Debian do.
    for plugin in /usr/lib/cni/*; do
        [ -e "/opt/cni/bin/${plugin##*/}" ] || ln -s "$plugin" /opt/cni/bin/
    done
    containerd config default |
        sed -e 's/SystemdCgroup = false/SystemdCgroup = true/' -e 's|bin_dir = "/usr/lib/cni"|bin_dir = "/opt/cni/bin"|' \
            >/etc/containerd/config.toml
    systemctl restart containerd
}

# Kubelet must give the address that the other machines know, not that of the provider's own network.
name_the_node() {
    echo "KUBELET_EXTRA_ARGS=--node-ip=$NETWORK.$number" >/etc/default/kubelet
}

# Whoever measures across machines works on them as root, with the key that Vagrant made.
make_bench_ready() {
    install -D -m 600 ~vagrant/.ssh/authorized_keys /root/.ssh/authorized_keys
    make -C /svcplane --no-print-directory setup
}

install_packages
prepare_kernel
make_pod_network
configure_containerd
if [ "$release" != none ]; then
    name_the_node
    install_kubernetes
fi
make_bench_ready
say "ready"
