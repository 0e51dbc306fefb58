#!/usr/bin/env bash
# Tests the packages of `make deb`: lintian, and what Debian does with them. A Debian of its own
# is made in target/packaging/debian, booted with systemd in a container without a network
# (systemd-nspawn), and lost again; packaging/test_debian.py runs in it. As root.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../tests/install.sh
source tests/install.sh
PATH=$PATH:/usr/sbin:/sbin
made=target/packaging
system=$made/debian
packages=systemd,systemd-sysv,dbus,nginx-light,python3,openssl,ssl-cert

((EUID == 0)) || fail 'this boots a container: run it as root'

missing_packages() {
  command -v lintian >/dev/null || echo lintian
  command -v debootstrap >/dev/null || echo debootstrap
  command -v systemd-nspawn >/dev/null || echo systemd-container
}

need_packages missing_packages

echo 'lintian:'
lintian --fail-on error --allow-root target/debian/headcount_*.deb

# The same once more as the next version, which the first is upgraded to.
rm -rf "$made/upgrade"
mkdir -p "$made/upgrade"
dpkg-deb --raw-extract target/debian/headcount_*.deb "$made/upgrade/files"
sed -i 's/^Version: .*/&+next/' "$made/upgrade/files/DEBIAN/control"
quietly dpkg-deb --build -Zxz -z1 "$made/upgrade/files" "$made/upgrade/headcount.deb"
rm -r "$made/upgrade/files"

if [[ ! -e $system/etc/made ]]; then
  echo "debootstrap: $system"
  rm -rf "$system"
  quietly debootstrap --variant=minbase --include="$packages" bookworm "$system"
  touch "$system/etc/made"
fi
cat >"$system/etc/systemd/system/test.service" <<'UNIT'
[Service]
Type=oneshot
WorkingDirectory=/test
ExecStart=/bin/sh -c 'python3 -B -m unittest --failfast --verbose test_debian; echo $? >/out/status'
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=file:/out/log
StandardError=inherit
UNIT
wants=$system/etc/systemd/system/multi-user.target.wants
ln -sf ../test.service "$wants/"
# The test starts it.
rm -f "$wants/nginx.service"

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
touch "$out/log"
tail -f "$out/log" &
reader=$!
timeout 300 systemd-nspawn --quiet --register=no --keep-unit --private-network --volatile=overlay \
  --directory "$system" --bind "$out:/out" --bind-ro "$PWD/packaging:/test" \
  --bind-ro "$PWD/target/debian:/packages" \
  --bind-ro "$PWD/$made/upgrade:/upgrade" --bind-ro "$PWD/docs/deploy:/deploy" \
  --boot >"$out/console" 2>&1 || { tail -20 "$out/console"; }
kill "$reader"
cp "$out/log" "$made/test.log"
[[ $(cat "$out/status" 2>/dev/null) == 0 ]] || fail "the tests failed: $made/test.log"
