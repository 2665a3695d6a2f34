# make demo       the whole province in one process
# make check      format, lints, licences; works off line
# make test       the whole suite, with servers of its own
# make bench      throughput, as ratios to a bare relay
.PHONY: demo test check fmt bench crash servers-up servers-down

demo:
	cargo run -- demo

test:
	scripts/test.sh

check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --features odbc -- -D warnings
	scripts/deny.sh

fmt:
	cargo fmt

bench:
	cargo run --release -- bench pipeline

# Then: eval "$$(scripts/servers.sh env)"
servers-up:
	scripts/servers.sh up

servers-down:
	scripts/servers.sh down

# The long form of the crash tests: a kill a second or two, and a broker that is frozen for a minute.
crash:
	CIVILHUB_LONG=1 CIVILHUB_KILLS=$${CIVILHUB_KILLS:-500} scripts/test.sh crash::
