#!/usr/bin/env bash
# Fetches what the tests need beyond cargo, node, npm, python3 and gcc: from
# Debian curl, two browsers with a font, python3-venv, and what tests/faults bring
# on: proxies, slow attackers, a second HTTP/2; from npm and PyPI the clients,
# in tests/node_modules and target/venv. Silent when all is there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
browser=${CHROMIUM:-/usr/bin/chromium}
PATH=$PATH:/usr/sbin:/sbin # where Debian has nginx, haproxy, ip

fail() {
  echo "setup: $*" >&2
  exit 1
}

# Runs a command without its output, unless it fails.
quietly() {
  local output
  output=$("$@" 2>&1) || {
    printf '%s\n' "$output" >&2
    fail "this failed: $*"
  }
}

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
  command -v slowhttptest >/dev/null || echo slowhttptest
  command -v nghttp >/dev/null || echo nghttp2-client
  command -v ip >/dev/null || echo iproute2
  command -v openssl >/dev/null || echo openssl
}

install_packages() {
  local as_root=()
  if ((EUID != 0)); then
    as_root=(sudo -n)
  fi
  command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null ||
    fail "the tests need something that is not here; install: $*"
  echo "setup: installing $* with apt-get"
  quietly "${as_root[@]}" apt-get update
  # Debian starts a service that it installs. The tests start their own nginx
  # and haproxy, so while this installs, a policy says no (101).
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    # shellcheck disable=SC2064 # these words, as they are now
    trap "${as_root[*]} rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
  fi
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "$@"
}

mapfile -t missing < <(missing_packages)
if ((${#missing[@]})); then
  install_packages "${missing[@]}"
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} == 0)) ||
    fail "installed, and yet this is not where it is looked for: ${missing[*]}"
fi

# Each stamp is a copy of the list that was installed from, made at the end.
stamp=tests/node_modules/.headcount-stamp
if ! cmp -s tests/package-lock.json "$stamp"; then
  echo 'setup: installing the npm packages in tests/node_modules'
  quietly npm --prefix tests ci
  cp tests/package-lock.json "$stamp"
fi

stamp=target/venv/.headcount-stamp
if ! cmp -s tests/clients/requirements.txt "$stamp" || ! target/venv/bin/python -c '' 2>/dev/null; then
  echo 'setup: installing the Python packages in target/venv'
  quietly python3 -m venv --clear target/venv
  quietly target/venv/bin/python -m pip install --disable-pip-version-check \
    --requirement tests/clients/requirements.txt
  cp tests/clients/requirements.txt "$stamp"
fi
