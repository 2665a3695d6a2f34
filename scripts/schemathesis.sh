#!/usr/bin/env bash
# Schemathesis against the partner API of a running sandbox, every request signed: no server error, no answer that the
# description does not have. The tool is kept in a folder outside the tree.
#
# CIVILHUB_BIN                  the program; built by cargo where it is not given
# CIVILHUB_SCHEMATHESIS_TOOLS   folder of the tool
# CIVILHUB_EXAMPLES             examples for each operation (100)
# CIVILHUB_PARTNER              who asks (bank-icbc)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh
tools=${CIVILHUB_SCHEMATHESIS_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/civilhub-schemathesis}
packages="schemathesis==4.32.5 cryptography"
home=$tools/python-$(echo "$packages" | md5sum | cut -c1-8)
if [ ! -e "$home/ready" ]; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || scripts/install.sh python3 python3-venv
  python3 -m venv "$home"
  # shellcheck disable=SC2086
  "$home/bin/pip" install --quiet --disable-pip-version-check $packages
  touch "$home/ready"
fi
if [ -z "${CIVILHUB_BIN:-}" ]; then
  cargo build --quiet --bin civilhub
  CIVILHUB_BIN=${CARGO_TARGET_DIR:-target}/debug/civilhub
fi
partner=${CIVILHUB_PARTNER:-bank-icbc}
folder=$(mktemp -d)
port=$(free_port)
"$CIVILHUB_BIN" partner keygen --out "$folder/key" >"$folder/key.pub"
"$CIVILHUB_BIN" partner sandbox "$partner" --public "$folder/key.pub" --data "$folder/data" --listen "127.0.0.1:$port" >"$folder/sandbox.json" 2>"$folder/log" &
sandbox=$!
trap 'stop $sandbox TERM 10; rm -rf "$folder"' EXIT
wait_port "$port" 90 "$sandbox" || { cat "$folder/log" >&2; exit 1; }
export CIVILHUB_KEY=$folder/key CIVILHUB_KEYID=$partner/1 SCHEMATHESIS_HOOKS=schemathesis_sign PYTHONPATH=scripts PYTHONDONTWRITEBYTECODE=1
checks=not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance
cd "$folder"
PYTHONPATH=$OLDPWD/scripts "$home/bin/schemathesis" run "http://127.0.0.1:$port/v1/openapi.json" \
  --checks "$checks" --max-examples "${CIVILHUB_EXAMPLES:-100}" --generation-database none --no-color "$@"
alive "$sandbox" || { echo "the sandbox died" >&2; exit 1; }
if grep -q panicked "$folder/log"; then
  cat "$folder/log" >&2
  exit 1
fi
