# shellcheck shell=bash
# containerd, kubelet, kube-proxy and the pods' network.

PAUSE_IMAGE=localhost/pause:test

write_cni_config() {
    mkdir -p "$STATE/cni.d" "$STATE/bin"
    ln -sf "$PTP" "$HOST_LOCAL" "$LOOPBACK" "$PORTMAP" "$RUNC" "$CONTAINERD_SHIM_RUNC_V2" "$STATE/bin/"
    # ptp and not bridge: every packet between pods is routed, and so passes
    # kube-proxy's rules, without br_netfilter.
    cat >"$STATE/cni.d/10-pods.conflist" <<EOF
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "$POD_RANGE"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/var/lib/cni/networks"
      }
    },
    {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": true}}
  ]
}
EOF
}

start_containerd() {
    write_cni_config
    # restrict_oom_score_adj: lowering oom_score_adj may not be permitted here,
    # and then no pod starts ("can't get final child's PID from pipe").
    cat >"$STATE/containerd.toml" <<EOF
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "$PAUSE_IMAGE"

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["$STATE/bin"]
  conf_dir = "$STATE/cni.d"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = false
EOF
    # runc and the shim are found through PATH.
    start containerd env PATH="$STATE/bin:$PATH" "$CONTAINERD" --config "$STATE/containerd.toml"
    wait_for 30 "containerd answers, see $STATE/log/containerd.log" containerd_ctr version

    "$HERE/image" "$PAUSE_IMAGE" "$STATE/pause.tar" "$PAUSE"
    "$HERE/load-image" "$STATE" "$STATE/pause.tar"
}

containerd_ctr() { inside "$CTR" --address /run/containerd/containerd.sock "$@"; }

start_kubelet() {
    local pki=$STATE/pki
    cat >"$STATE/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_ADDRESS
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$NODE_CGROUP
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [$DNS_SERVICE_ADDRESS]
resolvConf: ""
# Changes of ConfigMaps and Secrets arrive within a second, not a minute.
configMapAndSecretChangeDetectionStrategy: Watch
syncFrequency: 5s
volumePluginDir: $STATE/kubelet/plugins-exec
# The machine's disk may be fuller than a node's should be.
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
EOF
    start kubelet env PATH="$STATE/bin:$PATH" "$KUBELET" --config="$STATE/kubelet.yaml" \
        --kubeconfig="$pki/kubelet.kubeconfig" \
        --hostname-override="$NODE_NAME" --node-ip="$NODE_ADDRESS" --root-dir=/var/lib/kubelet
}

start_proxy() {
    # conntrack-max-per-core=0: the machine's limit is not the node's to set.
    start kube-proxy "$KUBE_PROXY" --kubeconfig="$STATE/pki/proxy.kubeconfig" \
        --hostname-override="$NODE_NAME" --proxy-mode=nftables \
        --cluster-cidr="$POD_RANGE" --conntrack-max-per-core=0
}
