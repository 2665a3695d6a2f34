#!/usr/bin/env bash
# Builds the program for the image. With a folder `vendor` (scripts/vendor.sh) no network is used.
# Usage: image_build.sh [FEATURES]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

arguments=(--release --locked --bin civilhub)
[ -z "${1:-}" ] || arguments+=(--features "$1")
if [ -d vendor ]; then
  arguments+=(--offline --config 'source.crates-io.replace-with="vendored-sources"' --config 'source.vendored-sources.directory="vendor"')
fi
cargo build "${arguments[@]}"
