#!/usr/bin/env bash
# Runs the whole suite against servers of its own and stops them whatever happens. Arguments go to the test runner.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."

# The sources through ODBC are tested with Debian's drivers; the library must be here to link. The client of
# docs/partners.md is a program in Python.
"$here/install.sh" unixodbc-dev odbc-postgresql odbc-mariadb openssh-server python3-cryptography
# Compiling first: no server should wait for it.
if cargo nextest --version >/dev/null 2>&1; then runner=(cargo nextest run); else runner=(cargo test); fi
runner+=(--features odbc)
"${runner[@]}" --no-run

CIVILHUB_SERVERS=$(mktemp -d)/servers
export CIVILHUB_SERVERS
trap '"$here/servers.sh" down; rmdir "$(dirname "$CIVILHUB_SERVERS")"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 711 "$(dirname "$CIVILHUB_SERVERS")" # the database may run as another user
variables=$("$here/servers.sh" up)
eval "$variables"
# CIVILHUB_SHOW=1: what the tests print, also when all is well.
if [ -z "${CIVILHUB_SHOW:-}" ]; then show=(); elif [ "${runner[1]}" = nextest ]; then show=(--no-capture); else show=(-- --nocapture); fi
"${runner[@]}" "$@" "${show[@]}"
