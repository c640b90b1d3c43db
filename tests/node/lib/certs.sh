# shellcheck shell=bash
# The cluster's keys, certificates and kubeconfigs, in STATE/pki.

make_authority() {
    mkdir -p "$STATE/pki"
    openssl ecparam -name prime256v1 -genkey -noout -out "$STATE/pki/ca.key"
    openssl req -x509 -new -key "$STATE/pki/ca.key" -days 30 -subj /CN=node-test-ca \
        -addext keyUsage=critical,keyCertSign,digitalSignature -out "$STATE/pki/ca.crt"
    openssl ecparam -name prime256v1 -genkey -noout -out "$STATE/pki/service-account.key"
    openssl ec -in "$STATE/pki/service-account.key" -pubout -out "$STATE/pki/service-account.pub"
}

make_certificate() { # name subject [subject alternative names]
    local pki=$STATE/pki name=$1 subject=$2 names=${3:-}
    openssl ecparam -name prime256v1 -genkey -noout -out "$pki/$name.key"
    openssl req -new -key "$pki/$name.key" -subj "$subject" -out "$pki/$name.csr"
    {
        echo "keyUsage=critical,digitalSignature"
        echo "extendedKeyUsage=clientAuth,serverAuth"
        [ -z "$names" ] || echo "subjectAltName=$names"
    } >"$pki/$name.ext"
    openssl x509 -req -in "$pki/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" \
        -CAcreateserial -days 30 -extfile "$pki/$name.ext" -out "$pki/$name.crt"
    rm "$pki/$name.csr" "$pki/$name.ext"
}

# With everything in it, so that the file alone is enough.
make_kubeconfig() { # certificate file
    local pki=$STATE/pki
    cat >"$2" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: node-test
  cluster:
    server: $API_SERVER
    certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 <"$pki/$1.crt")
    client-key-data: $(base64 -w0 <"$pki/$1.key")
contexts:
- name: node-test
  context: {cluster: node-test, user: $1}
current-context: node-test
EOF
    chmod 600 "$2"
}

make_identities() {
    (
        make_authority
        make_certificate apiserver /CN=kube-apiserver \
            "IP:$NODE_ADDRESS,IP:127.0.0.1,IP:$API_SERVICE_ADDRESS,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost"
        make_certificate apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
        make_certificate kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" "IP:$NODE_ADDRESS,DNS:$NODE_NAME"
        make_certificate admin /O=system:masters/CN=admin
        make_certificate controller-manager /CN=system:kube-controller-manager
        make_certificate scheduler /CN=system:kube-scheduler
        make_certificate proxy /CN=system:kube-proxy
        make_certificate dns /CN=system:coredns
    ) >"$STATE/log/openssl.log" 2>&1
    make_kubeconfig admin "$STATE/kubeconfig"
    local name
    for name in kubelet controller-manager scheduler proxy dns; do
        make_kubeconfig "$name" "$STATE/pki/$name.kubeconfig"
    done
}
