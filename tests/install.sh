# What the setup scripts have in common. They source it, in the project's
# directory. Everything is silent when there is nothing to do.

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

install_packages() {
  local as_root=()
  if ((EUID != 0)); then
    as_root=(sudo -n)
  fi
  command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null ||
    fail "something that is needed is not here; install: $*"
  echo "setup: installing $* with apt-get"
  quietly "${as_root[@]}" apt-get update
  # Debian starts a service that it installs. Whoever needs nginx or haproxy here
  # starts one of its own, so while this installs, a policy says no (101).
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    # shellcheck disable=SC2064 # these words, as they are now
    trap "${as_root[*]} rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
  fi
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "$@"
}

# Installs the Debian packages that the given function prints the names of: those
# of what is not there.
need_packages() {
  local missing
  mapfile -t missing < <("$1")
  ((${#missing[@]})) || return 0
  install_packages "${missing[@]}"
  mapfile -t missing < <("$1")
  ((${#missing[@]} == 0)) ||
    fail "installed, and yet this is not where it is looked for: ${missing[*]}"
}

# Installs the npm packages of the given directory. The stamp is a copy of the list
# that was installed from, made at the end.
need_npm_packages() {
  local stamp=$1/node_modules/.headcount-stamp
  if ! cmp -s "$1/package-lock.json" "$stamp"; then
    echo "setup: installing the npm packages in $1/node_modules"
    quietly npm --prefix "$1" ci
    cp "$1/package-lock.json" "$stamp"
  fi
}
