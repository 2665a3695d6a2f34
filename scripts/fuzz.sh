#!/usr/bin/env bash
# The long form of the fuzz tests: every target of fuzz/ (or those given) under libFuzzer, CIVILHUB_FUZZ_SECONDS each (60).
# Begins with the samples of the adapters and everything ever found. Needs a network the first time: nightly, cargo-fuzz,
# libfuzzer-sys; and some 6 GB, all of it in CIVILHUB_FUZZ_TARGET (fuzz/target).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${CIVILHUB_FUZZ_SECONDS:-60}
toolchain=${CIVILHUB_FUZZ_TOOLCHAIN:-nightly}
folder=${CIVILHUB_FUZZ_TARGET:-$PWD/fuzz/target}

rustup toolchain list | grep -q "^$toolchain" || rustup toolchain install "$toolchain" --profile minimal
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
# The versions that the project is tested with; cargo adds what only the targets need.
[ -e fuzz/Cargo.lock ] || cp Cargo.lock fuzz/Cargo.lock

# The seeds are made from the samples of the adapters.
CIVILHUB_FUZZ_CORPUS=$PWD/fuzz/corpus cargo test --quiet --test it -- fuzz::seeds_are_written

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
# Memory of a hub in production, and the time that one hostile input may take.
limits=(-max_total_time="$seconds" -rss_limit_mb=1024 -timeout=25 -max_len=65536 -print_final_stats=1)
failed=()
for target in "${targets[@]}"; do
  mkdir -p "fuzz/regressions/$target"
  echo "fuzzing $target for $seconds s"
  CARGO_TARGET_DIR=$folder cargo "+$toolchain" fuzz run "$target" "fuzz/corpus/$target" "fuzz/regressions/$target" -- "${limits[@]}" || failed+=("$target")
  rmdir "fuzz/regressions/$target" 2>/dev/null || true
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "found something in: ${failed[*]}; mend it, and move fuzz/artifacts/<target>/* to fuzz/regressions/<target>/" >&2
  exit 1
fi
