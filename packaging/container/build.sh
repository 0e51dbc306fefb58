#!/usr/bin/env bash
# Builds the container image, which has the server in it and nothing else that runs:
# target/image/headcount.tar, for `podman load` or `docker load`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=../../tests/install.sh
source tests/install.sh

missing_packages() {
  command -v buildah >/dev/null || echo buildah
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
}

need_packages missing_packages

# Only the format of Docker has a health check.
export BUILDAH_FORMAT=docker

# Static: an empty image has no libraries. With glibc, which asks DNS by itself since 2.34.
target=$(rustc --version --verbose | sed -n 's/^host: //p')
RUSTFLAGS='-C target-feature=+crt-static' \
  cargo build --locked --release --package headcount --bin headcount --target "$target"
version=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' Cargo.toml)

# What is built here stays here.
image=$PWD/target/image
rm -rf "$image"
mkdir -p "$image/state"
cp "target/$target/release/headcount" "$image/"
strip "$image/headcount"
buildah() {
  command buildah --storage-driver vfs --root "$image/storage" --runroot "$image/run" "$@"
}
container=$(buildah from scratch)
buildah copy --quiet --chmod 755 "$container" "$image/headcount" /headcount >/dev/null
# For rediss://.
buildah copy --quiet --chmod 644 "$container" /etc/ssl/certs/ca-certificates.crt \
  /etc/ssl/certs/ca-certificates.crt >/dev/null
buildah copy --quiet --chown 65532:65532 --chmod 700 "$container" "$image/state" \
  /var/lib/headcount >/dev/null
buildah config \
  --user 65532:65532 \
  --workingdir / \
  --entrypoint '["/headcount"]' \
  --stop-signal SIGTERM \
  --port 3000 \
  --volume /var/lib/headcount \
  --env HEADCOUNT_LISTEN=0.0.0.0:3000 \
  --env HEADCOUNT_ADMIN_LISTEN=127.0.0.1:3001 \
  --env HEADCOUNT_HISTORY=/var/lib/headcount/history.db \
  --healthcheck 'CMD /headcount health' \
  --healthcheck-interval 30s \
  --healthcheck-timeout 10s \
  --healthcheck-start-period 10s \
  --label org.opencontainers.image.title=headcount \
  --label "org.opencontainers.image.version=$version" \
  "$container"
buildah commit --quiet --rm "$container" "headcount:$version" >/dev/null
buildah push --quiet "headcount:$version" "docker-archive:$image/headcount.tar:headcount:$version"
rm -rf "$image/storage" "$image/run" "$image/state"
echo "headcount:$version: $image/headcount.tar, $(stat -c %s "$image/headcount.tar") bytes"
