# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # servers is an array of common.sh
# The node's namespaces, and beside them a host outside the cluster:
#
#   outside namespace  eth0 10.44.0.1 ---veth--- eth0 10.44.0.2  node namespace
#                      routes to pods and Services by way of the node
#
# Nothing of it touches the machine's own network.

make_networks() {
    local ns
    for ns in "$NODE_NETNS" "$OUTSIDE_NETNS"; do
        ip netns add "$ns"
        ip -n "$ns" link set lo up
    done
    # A veth pair and not a dummy device, which some kernels lack.
    ip link add eth0 netns "$NODE_NETNS" type veth peer name eth0 netns "$OUTSIDE_NETNS"
    ip -n "$NODE_NETNS" address add "$NODE_ADDRESS/24" dev eth0
    ip -n "$OUTSIDE_NETNS" address add "$OUTSIDE_ADDRESS/24" dev eth0
    ip -n "$NODE_NETNS" link set eth0 up
    ip -n "$OUTSIDE_NETNS" link set eth0 up
    ip -n "$NODE_NETNS" route add default via "$OUTSIDE_ADDRESS"
    ip -n "$OUTSIDE_NETNS" route add "$POD_RANGE" via "$NODE_ADDRESS"
    ip -n "$OUTSIDE_NETNS" route add "$SERVICE_RANGE" via "$NODE_ADDRESS"
    # Not `ip netns exec`, which mounts another /sys and so hides the cgroups.
    nsenter --net="/run/netns/$NODE_NETNS" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

remove_networks() {
    local ns
    for ns in "$NODE_NETNS" "$OUTSIDE_NETNS"; do
        [ ! -e "/run/netns/$ns" ] || ip netns delete "$ns"
    done
}

# Starts the node's first process. With it, processes and mounts of the node are
# in namespaces of their own: however the node ends, ending this process ends
# all of them, containers included, and no mount is left.
start_init() {
    mkdir -p "$STATE/run" "$STATE/kubelet" "$STATE/containerd" "$STATE/var-log" "$STATE/cni"
    mkdir -p /var/lib/kubelet /var/lib/containerd /var/lib/cni
    # The inner shell still sees the machine's /proc, so what it reads there is
    # its pid as the machine counts.
    # shellcheck disable=SC2016 # expanded by the inner shell
    nsenter --net="/run/netns/$NODE_NETNS" setsid unshare --mount --pid --fork \
        sh -ec '
            read -r pid _ </proc/self/stat
            mount --make-rshared /
            mount --bind "$STATE/run" /run
            mount --bind "$STATE/var-log" /var/log
            mount --bind "$STATE/cni" /var/lib/cni
            mount --bind "$STATE/containerd" /var/lib/containerd
            mount --bind "$STATE/kubelet" /var/lib/kubelet
            mount -t proc proc /proc
            echo "$pid" >"$STATE/init.pid"
            exec "$PAUSE"
        ' </dev/null >"$STATE/log/init.log" 2>&1 &
    servers[init]=$!
    disown
    wait_for 10 "the node's namespaces, see $STATE/log/init.log" test -s "$STATE/init.pid"
    local pid
    pid=$(cat "$STATE/init.pid")
    echo "$pid $(start_time "$pid")" >"$STATE/init"
    rm "$STATE/init.pid"
}

# A cgroup of the node's own, in which the kubelet makes those of pods: several
# nodes on a machine do not meet, and what is left over can be removed.
cgroup_folders() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo "/sys/fs/cgroup/$NODE_CGROUP"
        return
    fi
    local controllers
    for controllers in /sys/fs/cgroup/*/; do
        # The v2 hierarchy that systemd mounts beside v1 holds no controller.
        [ -e "${controllers}cgroup.controllers" ] || echo "$controllers$NODE_CGROUP"
    done
}

make_cgroups() {
    local folder
    for folder in $(cgroup_folders); do
        mkdir -p "$folder"
        # A v1 cpuset without CPUs takes no process.
        if [ -e "$folder/cpuset.cpus" ] && [ ! -e "$folder/cgroup.controllers" ]; then
            cat "$folder/../cpuset.cpus" >"$folder/cpuset.cpus"
            cat "$folder/../cpuset.mems" >"$folder/cpuset.mems"
        fi
    done
}

remove_cgroups() {
    local folder
    # All that bear the name: runc made some in hierarchies not named above.
    for folder in /sys/fs/cgroup/"$NODE_CGROUP" /sys/fs/cgroup/*/"$NODE_CGROUP"; do
        [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} +
    done
}
