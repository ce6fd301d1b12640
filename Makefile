# pgbraid: `make demo` to try it, `make test` to test it. Each installs what the machine lacks, and says so.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build demo test bench lint fuzz oracle

CARGO ?= cargo
# More for the demo: make demo ARGS="--replicas 2"
ARGS ?=
# How many random statements make oracle asks, and from which seed.
STATEMENTS ?= 20000
SEED ?= $$(date +%s)
# How long each fuzz target runs, in seconds.
FUZZ_SECONDS ?= 600

help:
	@echo "make demo    PostgreSQL servers with a sample shop, and pgbraid in front of them (ARGS=\"--replicas 2\")"
	@echo "make test    all tests"
	@echo "make oracle  random statements on one PostgreSQL and on three shards (STATEMENTS=20000 SEED=the time)"
	@echo "make bench   pgbraid beside PgBouncer and a direct connection; writes docs/benchmarks.md (half an hour;"
	@echo "             ARGS=\"--long\", \"--quick\", \"--only select\", \"--resume\", \"--help\")"
	@echo "make lint    format, clippy, licences"
	@echo "make fuzz    every fuzz target for FUZZ_SECONDS (600)"

build:
	@docker/deps.sh build
	$(CARGO) build --locked --release

demo:
	@docker/deps.sh server
	$(CARGO) build --locked --bin pgbraid
	@exec $(CARGO) run --quiet --locked --bin pgbraid -- demo $(ARGS)

# Many sockets are open at once in some tests.
test:
	@docker/deps.sh test
	@ulimit -n "$$(ulimit -Hn)"; $(CARGO) test --locked --lib --tests

oracle:
	@docker/deps.sh --system test
	PGBRAID_ORACLE_RANDOM=$(STATEMENTS) PGBRAID_ORACLE_SEED=$(SEED) $(CARGO) test --locked --test it -- random_statements --nocapture

bench:
	@docker/deps.sh bench
	$(CARGO) build --locked --release
	@ulimit -n "$$(ulimit -Hn)"; python3 tests/bench/run.py $(ARGS)

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(CARGO) deny check; \
	else \
	    echo "cargo deny isn't installed: licences and advisories were not checked"; \
	fi

fuzz:
	@docker/deps.sh build
	@for target in fuzz/targets/*.rs; do fuzz/run "$$(basename "$$target" .rs)" $(FUZZ_SECONDS); done
