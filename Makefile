# make demo       the whole province in one process
# make check      format, lints, licences; works off line
# make test       the whole suite, with servers of its own
# make bench      throughput, as ratios to a bare relay
# make bench-identity   linking of people beside Splink
# make bench-adapters   rows per CPU second of every format, beside the bare libraries
# make fuzz       every fuzz target under libFuzzer; CIVILHUB_FUZZ_SECONDS each
# make chart      the Helm chart: lint, schema, scenarios, tests
# make image-smoke   the last layer of the image as a chroot
# make schemathesis  the partner API against its own description
# make verifications, make exchange-kills   the long forms of the verification tests
# make browser    the console in Debian's Chromium, with screenshots, and its first page over a million events
# make failover   nodes of the broker killed and cut off, the database failed over, ten times each
# make rolling    every role replaced ten times under load
# make soak       an hour at half of the top speed: memory, descriptors, books
# make alerts     the alert rules and their cases, with promtool
.PHONY: demo test check fmt bench bench-identity bench-adapters fuzz crash servers-up servers-down chart image-smoke alerts schemathesis verifications exchange-kills settle browser failover rolling soak

demo:
	cargo run -- demo

test:
	scripts/test.sh

alerts:
	scripts/alerts.sh

browser:
	CIVILHUB_MILLION=1 scripts/browser.sh

check:
	cargo fmt --check
	cargo clippy -- -D warnings
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

rolling:
	CIVILHUB_ROLLS=$${CIVILHUB_ROLLS:-10} CIVILHUB_SHOW=1 scripts/test.sh crash::rolling::

failover:
	CIVILHUB_FAILOVERS=$${CIVILHUB_FAILOVERS:-10} CIVILHUB_SHOW=1 scripts/test.sh crash::cluster::

soak:
	cargo run --release -- bench soak --minutes $${CIVILHUB_SOAK_MINUTES:-60}

# Helm and the schemas of Kubernetes are fetched once into a folder of the user's cache.
chart:
	scripts/chart.sh

# Settlements at 200 a second for five minutes while the desk is killed twenty times.
settle:
	CIVILHUB_LONG=1 scripts/test.sh a_desk_that_is_killed -- --nocapture

# Needs root, for mounts in a namespace of its own.
image-smoke:
	scripts/image_smoke.sh

# Linking of people beside Splink on the same file in the same run. Needs Python with: pip install splink pypinyin pandas
bench-identity:
	CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo build --bin civilhub
	$${CIVILHUB_BIN:-target/debug/civilhub} bench identity --records $${CIVILHUB_RECORDS:-100000} --write $${CIVILHUB_PEOPLE:-/tmp/civilhub-people}
	$${PYTHON:-python3} scripts/bench_identity.py $${CIVILHUB_PEOPLE:-/tmp/civilhub-people} $${CIVILHUB_BIN:-target/debug/civilhub}

# Schemathesis is fetched once into a folder of the user's cache.
schemathesis:
	scripts/schemathesis.sh

verifications:
	CIVILHUB_VERIFICATIONS=$${CIVILHUB_VERIFICATIONS:-10000} scripts/test.sh banks::every_household

exchange-kills:
	CIVILHUB_EXCHANGE_KILLS=$${CIVILHUB_EXCHANGE_KILLS:-100} scripts/test.sh banks::kills

# Our own crate with optimisation, as in a release; the dependencies have it anyway.
bench-adapters:
	CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo build --bin civilhub
	$${CIVILHUB_BIN:-target/debug/civilhub} bench adapters --rows $${CIVILHUB_ROWS:-20000} --rounds $${CIVILHUB_ROUNDS:-7}

# The short form is part of `make test`. Needs a network the first time: nightly Rust, cargo-fuzz.
fuzz:
	scripts/fuzz.sh
