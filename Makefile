# make demo       the whole province in one process
# make check      format, lints, licences; works off line
# make test       the whole suite, with servers of its own
# make bench      throughput, as ratios to a bare relay
.PHONY: demo test check fmt bench servers-up servers-down

demo:
	cargo run -- demo

test:
	scripts/test.sh

check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	scripts/deny.sh

fmt:
	cargo fmt

bench:
	cargo run --release -- bench

# Then: eval "$$(scripts/servers.sh env)"
servers-up:
	scripts/servers.sh up

servers-down:
	scripts/servers.sh down
