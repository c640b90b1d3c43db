#!/usr/bin/env bash
# Writes the container image as an OCI layout tar, without a container daemon: what Dockerfile makes,
# by the same build line.
#
# Usage: deploy/image.sh [--binary PATH] [OUT]
#
#   --binary PATH   a static binary that is there already: skip the build
#   OUT             default: target/adit-image.tar
#
#   ctr -n k8s.io images import --local OUT        (containerd)
#   docker load -i OUT, podman load -i OUT         (Docker with the containerd image store)
#
# The same binary, certificates and SOURCE_DATE_EPOCH (default: the time of the last commit) give the same bytes.
set -euo pipefail

die() { echo "deploy/image.sh: $*" >&2; exit 1; }
usage() { sed -n '5,8p' "$0" | sed 's/^# \?//'; }

binary=
out=
while [ $# -gt 0 ]; do
  case $1 in
    --binary) [ $# -ge 2 ] || die "--binary needs a path"; binary=$(realpath "$2"); shift 2 ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; die "unknown option $1" ;;
    *) [ -z "$out" ] || die "more than one output"; out=$(realpath -m "$1"); shift ;;
  esac
done

cd "$(dirname "$0")/.."
certificates=/etc/ssl/certs/ca-certificates.crt
[ -s "$certificates" ] || die "$certificates is missing: apt-get install ca-certificates"

target=x86_64-unknown-linux-gnu
if [ -z "$binary" ]; then
  RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target"
  binary=${CARGO_TARGET_DIR:-target}/$target/release/adit
fi
[ -x "$binary" ] || die "$binary is not an executable"
# In an image of one file a dynamic binary fails with "no such file or directory", which tells nobody why.
if LC_ALL=C readelf --program-headers "$binary" | grep -q INTERP; then
  die "$binary is not static: it names a dynamic loader, and the image has none"
fi

version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || die "no version in Cargo.toml"
name=ghcr.io/adit-dev/adit:$version
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
out=${out:-target/adit-image.tar}
mkdir -p "$(dirname "$out")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Fixed order, owner, mode and time: nothing of this machine gets into the archive.
pack() { # FOLDER ENTRY..
  local folder=$1
  shift
  tar --create --format=ustar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner \
    --mode=u=rwX,go=rX --directory="$folder" "$@"
}
digest() { sha256sum "$1" | cut -d' ' -f1; }
size() { stat -c %s "$1"; }

layout=$work/layout
blobs=$layout/blobs/sha256
mkdir -p "$blobs" "$work/root/etc/ssl/certs"
# Moves a file among the blobs and prints its digest.
blob() {
  local sum
  sum=$(digest "$1")
  mv "$1" "$blobs/$sum"
  echo "$sum"
}

install -m 0755 "$binary" "$work/root/adit"
install -m 0644 "$certificates" "$work/root/etc/ssl/certs/ca-certificates.crt"
pack "$work/root" adit etc > "$work/layer.tar"
diff_id=$(digest "$work/layer.tar")
gzip --no-name --stdout "$work/layer.tar" > "$work/layer.tar.gz"
layer_size=$(size "$work/layer.tar.gz")
layer=$(blob "$work/layer.tar.gz")

cat > "$work/config.json" <<EOF
{"architecture":"amd64","os":"linux","created":"$created","config":{"User":"65532:65532","Entrypoint":["/adit"],"WorkingDir":"/","Labels":{"org.opencontainers.image.title":"adit","org.opencontainers.image.version":"$version","org.opencontainers.image.source":"https://github.com/adit-dev/adit","org.opencontainers.image.licenses":"MIT OR Apache-2.0"}},"rootfs":{"type":"layers","diff_ids":["sha256:$diff_id"]},"history":[{"created":"$created","created_by":"deploy/image.sh"}]}
EOF
config_size=$(size "$work/config.json")
config=$(blob "$work/config.json")

cat > "$work/manifest.json" <<EOF
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$config_size},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:$layer","size":$layer_size}]}
EOF
manifest_size=$(size "$work/manifest.json")
manifest=$(blob "$work/manifest.json")

# containerd and Docker take the name from io.containerd.image.name, other tools the tag from ref.name.
cat > "$layout/index.json" <<EOF
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$manifest","size":$manifest_size,"platform":{"architecture":"amd64","os":"linux"},"annotations":{"io.containerd.image.name":"$name","org.opencontainers.image.ref.name":"$version"}}]}
EOF
echo '{"imageLayoutVersion":"1.0.0"}' > "$layout/oci-layout"

# In place at once or not at all.
pack "$layout" blobs index.json oci-layout > "$out.partial"
mv "$out.partial" "$out"
echo "$name"
echo "manifest sha256:$manifest"
echo "layer    $layer_size bytes compressed, $(size "$binary") bytes of binary"
echo "written  $out"
