#!/usr/bin/env bash
# Tests the image of `make image` with podman, in a network namespace of its own, and the compose
# file: packaging/test_image.py. As root.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../tests/install.sh
source tests/install.sh
PATH=$PATH:/usr/sbin:/sbin

((EUID == 0)) || fail 'this starts containers: run it as root'

# runc: crun can't do without a pure cgroup v2.
missing_packages() {
  command -v podman >/dev/null || echo podman
  command -v runc >/dev/null || echo runc
  command -v docker-compose >/dev/null || echo docker-compose
  command -v nginx >/dev/null || echo nginx
  command -v redis-server >/dev/null || echo redis-server
  command -v openssl >/dev/null || echo openssl
  command -v ip >/dev/null || echo iproute2
}

need_packages missing_packages
unshare --net sh -c 'ip link set lo up; exec python3 -B packaging/test_image.py'
