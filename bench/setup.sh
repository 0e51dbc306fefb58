#!/usr/bin/env bash
# Fetches what the bench compares with, beyond cargo, node and npm: from npm
# Socket.IO, better-sse and Bun, in bench/peers/node_modules; from Debian nginx and
# its nchan, and Redis for several nodes of Headcount. Silent when all is there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/install.sh
source tests/install.sh
PATH=$PATH:/usr/sbin:/sbin # where Debian has nginx

# The Debian packages of what is not there.
missing_packages() {
  command -v openssl >/dev/null || echo openssl
  command -v nginx >/dev/null || echo nginx
  command -v redis-server >/dev/null || echo redis-server
  [[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]] || echo libnginx-mod-nchan
}

need_packages missing_packages
need_npm_packages bench/peers

# npm brings a placeholder, which bun's own script replaces by the program for this
# processor and C library. It is the only package whose script is run.
bench/peers/node_modules/.bin/bun --version >/dev/null 2>&1 ||
  quietly npm --prefix bench/peers rebuild --ignore-scripts=false bun
