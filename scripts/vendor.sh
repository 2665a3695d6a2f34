#!/usr/bin/env bash
# Copies the sources of all dependencies into `vendor`, for building the image where there is no network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo vendor --locked --quiet vendor >/dev/null
echo "vendor: $(find vendor -mindepth 1 -maxdepth 1 | wc -l) packages, $(du -sh vendor | cut -f1)"
