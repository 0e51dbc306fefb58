#!/usr/bin/env bash
# Fetches what the tests need beyond cargo, node, npm, python3 and gcc: from
# Debian curl, two browsers with a font, python3-venv, and what tests/faults bring
# on: proxies, slow attackers, a second HTTP/2, valgrind, Redis, promtool; from npm and PyPI
# the clients, in tests/node_modules and target/venv. Silent when all is there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/install.sh
source tests/install.sh
browser=${CHROMIUM:-/usr/bin/chromium}
PATH=$PATH:/usr/sbin:/sbin # where Debian has nginx, haproxy, ip

has_font() {
  [[ -n $(find /usr/share/fonts /usr/local/share/fonts "${HOME:-/}/.fonts" \
    "${HOME:-/}/.local/share/fonts" /System/Library/Fonts \
    \( -name '*.ttf' -o -name '*.otf' -o -name '*.ttc' \) -print -quit 2>/dev/null) ]]
}

# The Debian packages of what is not there.
missing_packages() {
  command -v curl >/dev/null || echo curl
  [[ -x $browser ]] || echo chromium
  [[ -x ${FIREFOX:-/usr/bin/firefox-esr} ]] || echo firefox-esr
  has_font || echo fonts-dejavu-core
  # Debian has taken ensurepip out of python3, and venv doesn't work without it.
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  command -v nginx >/dev/null || echo nginx
  command -v haproxy >/dev/null || echo haproxy
  command -v caddy >/dev/null || echo caddy
  command -v slowhttptest >/dev/null || echo slowhttptest
  command -v nghttp >/dev/null || echo nghttp2-client
  command -v ip >/dev/null || echo iproute2
  command -v openssl >/dev/null || echo openssl
  command -v valgrind >/dev/null || echo valgrind
  command -v redis-server >/dev/null || echo redis-server
  command -v faketime >/dev/null || echo faketime
  command -v promtool >/dev/null || echo prometheus
  command -v systemd-analyze >/dev/null || echo systemd
}

need_packages missing_packages
need_npm_packages tests

# As with the npm packages, the stamp is a copy of the list, made at the end.
stamp=target/venv/.headcount-stamp
if ! cmp -s tests/clients/requirements.txt "$stamp" || ! target/venv/bin/python -c '' 2>/dev/null; then
  echo 'setup: installing the Python packages in target/venv'
  quietly python3 -m venv --clear target/venv
  quietly target/venv/bin/python -m pip install --disable-pip-version-check \
    --requirement tests/clients/requirements.txt
  cp tests/clients/requirements.txt "$stamp"
fi
