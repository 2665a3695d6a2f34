#!/usr/bin/env bash
# The console in a real browser: Debian's Chromium, driven by Playwright, looked at by axe. Works on a bare Debian 12; tools are
# kept in a folder outside the tree.
#
# CIVILHUB_BIN            the program; built by cargo where it is not given
# CIVILHUB_BROWSER_TOOLS  folder of the tools
# CIVILHUB_BROWSER_OUT    folder for the screenshots
# CIVILHUB_MILLION=1      also measures the first page over a million events
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=${CIVILHUB_BROWSER_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/civilhub-browser}
out=${CIVILHUB_BROWSER_OUT:-${CARGO_TARGET_DIR:-target}/browser}
mkdir -p "$tools" "$out"
tools=$(cd "$tools" && pwd)
out=$(cd "$out" && pwd)

# Several may call this at once: one fetches, the others wait.
exec 9>"$tools/lock"
flock 9
scripts/install.sh chromium fonts-wqy-zenhei python3 python3-venv >&2
if [ ! -e "$tools/ready-1" ]; then
  command -v npm >/dev/null || scripts/install.sh npm
  rm -rf "$tools/venv" "$tools/package"
  python3 -m venv "$tools/venv"
  # Its own browsers are not fetched: they are a command of their own.
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check playwright==1.55.0 >&2
  (cd "$tools" && npm pack --silent axe-core@4.10.3 >/dev/null && tar xzf axe-core-*.tgz package/axe.min.js && rm axe-core-*.tgz)
  touch "$tools/ready-1"
fi
flock -u 9

if [ -z "${CIVILHUB_BIN:-}" ]; then
  cargo build --bin civilhub
  CIVILHUB_BIN=${CARGO_TARGET_DIR:-target}/debug/civilhub
fi
export CIVILHUB_BIN
exec "$tools/venv/bin/python" tests/browser/suite.py --axe "$tools/package/axe.min.js" --out "$out" "$@"
