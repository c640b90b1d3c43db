# shellcheck shell=bash
# shellcheck disable=SC2034 # the constants are used by the files beside this one
# Shared by the scripts of this folder: messages, waiting, and the processes of a
# node. Sourced with STATE set to the node's state folder.

# Everything below is inside namespaces of this node alone, so the numbers can be
# the same for every node.
NODE_NAME=node
NODE_ADDRESS=10.44.0.2
OUTSIDE_ADDRESS=10.44.0.1
POD_RANGE=10.45.0.0/16
SERVICE_RANGE=10.46.0.0/16
API_SERVICE_ADDRESS=10.46.0.1
DNS_SERVICE_ADDRESS=10.46.0.10
API_SERVER=https://$NODE_ADDRESS:6443

say() { printf 'tests/node: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Waits until a command succeeds; what it printed last is shown when it does not.
# Gives up at once when a server that this script started has ended.
wait_for() { # seconds what command...
    local seconds=$1 what=$2 end output name
    shift 2
    end=$((SECONDS + seconds))
    until output=$("$@" 2>&1); do
        for name in "${!servers[@]}"; do
            kill -0 "${servers[$name]}" 2>/dev/null && continue
            say "$name has ended; the last of $STATE/log/$name.log:"
            tail -n 20 "$STATE/log/$name.log" >&2
            return 1
        done
        if [ "$SECONDS" -ge "$end" ]; then
            say "not within $seconds s: $what"
            printf '%s\n' "$output" | tail -n 20 >&2
            return 1
        fi
        sleep 0.2
    done
}

# The node's first process, whose end is the end of all its processes. Its start
# time is kept as well: a pid alone may belong to somebody else by now.
start_time() { # pid
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086 # fields
    set -- $stat
    echo "${20}"
}

init_pid() {
    local pid started
    { read -r pid started <"$STATE/init"; } 2>/dev/null || return 1
    [ "$(start_time "$pid")" = "$started" ] || return 1
    echo "$pid"
}

# Runs a command in the node's network, mount and process namespaces.
inside() {
    local pid
    pid=$(init_pid) || die "the node in $STATE is not running"
    nsenter --target "$pid" --net --mount --pid -- "$@"
}

declare -A servers=()

# Starts a server on the node: its output to log/NAME.log, its pid (in the node's
# process namespace) to pids/NAME.
start() { # name command...
    local name=$1 pid
    shift
    pid=$(init_pid) || die "the node in $STATE is not running"
    # shellcheck disable=SC2016 # expanded by the inner shell
    nsenter --target "$pid" --net --mount --pid -- \
        setsid sh -c 'echo $$ >"$0"; exec "$@"' "$STATE/pids/$name" "$@" \
        </dev/null >"$STATE/log/$name.log" 2>&1 &
    servers[$name]=$!
    disown
}

kubectl() { inside "$KUBECTL" --kubeconfig "$STATE/kubeconfig" "$@"; }

# Sets a variable for each binary: kube-apiserver becomes KUBE_APISERVER.
provide() { # name...
    local line name lines
    lines=$("$HERE/../tools/build" "$@") || exit 1
    while read -r line; do
        name=${line%%=*}
        name=${name//-/_}
        printf -v "${name^^}" '%s' "${line#*=}"
    done <<<"$lines"
}
