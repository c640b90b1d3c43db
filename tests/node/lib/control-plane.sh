# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler.

start_control_plane() {
    local pki=$STATE/pki
    start etcd "$ETCD" --name node --data-dir "$STATE/etcd" --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster node=http://127.0.0.1:2380

    # PodSecurity admission is on by default; a namespace asks for it by label.
    start kube-apiserver "$KUBE_APISERVER" \
        --etcd-servers=http://127.0.0.1:2379 \
        --bind-address=0.0.0.0 --advertise-address="$NODE_ADDRESS" --secure-port=6443 \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --client-ca-file="$pki/ca.crt" \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --kubelet-client-certificate="$pki/apiserver-kubelet.crt" \
        --kubelet-client-key="$pki/apiserver-kubelet.key" \
        --kubelet-certificate-authority="$pki/ca.crt" \
        --kubelet-preferred-address-types=InternalIP \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-account-key-file="$pki/service-account.pub" \
        --service-account-signing-key-file="$pki/service-account.key" \
        --service-cluster-ip-range="$SERVICE_RANGE" \
        --min-request-timeout=5 --event-ttl=15m

    wait_for 60 "kube-apiserver is ready, see $STATE/log/kube-apiserver.log" \
        kubectl get --raw /readyz

    start kube-controller-manager "$KUBE_CONTROLLER_MANAGER" \
        --kubeconfig="$pki/controller-manager.kubeconfig" --leader-elect=false \
        --bind-address=127.0.0.1 --use-service-account-credentials \
        --service-account-private-key-file="$pki/service-account.key" \
        --root-ca-file="$pki/ca.crt" \
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"

    start kube-scheduler "$KUBE_SCHEDULER" \
        --kubeconfig="$pki/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1
}
