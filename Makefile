# Two commands are enough for a newcomer: `make demo` and `make test`. Each brings what is missing into
# .cache (SPANFERRY_CACHE names another place) and says in a line what it chose; see docs/parts.md.
PARTS := tests/parts
GET   := $(PARTS)/get
WITH  := $(PARTS)/with
STEP  := $(PARTS)/step
# In CI the lock file is the law, and a part that is missing is a failure. Elsewhere it is a named skip.
LOCKED  := $(if $(CI),--locked)
OR_SKIP := $(if $(CI),,|| true)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-stack bench bench-filter test torture lint filter trapping-filter soak-filter build clean-cache

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## an outage in three acts: Envoy, filter, all-in-one; Jaeger when it is at hand, else a built-in sink
	@$(GET) native-libs wasm-target envoy
	@$(MAKE) --no-print-directory filter build
	@$(WITH) cargo run --quiet $(LOCKED) --bin demo

demo-stack: ## the same three acts with real Kafka and real Jaeger
	@$(GET) native-libs wasm-target envoy kafka jaeger
	@$(MAKE) --no-print-directory filter build
	@$(WITH) cargo run --quiet $(LOCKED) --bin demo -- --stack

# BENCH passes arguments on: BENCH=--curves writes docs/scaling.*, BENCH=--flames docs/paths-*.svg (by perf);
# BENCH="--rounds 2 --only bridge" is short.
bench: ## Spanferry beside the OpenTelemetry Collector and Jaeger on real Kafka; writes docs/performance.* (20 min, a quiet machine)
	@$(GET) native-libs kafka jaeger
	@$(STEP) build env SPANFERRY_COMMIT="$$($(PARTS)/commit)" \
		cargo build --quiet --release $(LOCKED) -p spanferry -p spanferry-tests --bin spanferry --bin bench
	@$(STEP) "rounds" $(WITH) $${CARGO_TARGET_DIR:-target}/release/bench $(BENCH)

bench-filter: ## what tracing costs in Envoy, natively and with the filter; writes docs/filter-performance.* (8 min, a quiet machine)
	@$(GET) native-libs wasm-target wasm-opt envoy
	@$(MAKE) --no-print-directory filter
	@$(STEP) build cargo build --quiet --release $(LOCKED) -p spanferry-tests --bin bench-filter
	@$(STEP) "rounds" $(WITH) $${CARGO_TARGET_DIR:-target}/release/bench-filter $(BENCH)

test: ## everything: lint, unit tests here and on wasm32, path tests on real Envoy, Kafka and Jaeger
	@$(STEP) format cargo fmt --all --check
	@$(STEP) parts $(GET) native-libs wasm-target wasm-opt envoy kafka jaeger crds wasm-bindgen-runner cargo-deny $(OR_SKIP)
	@$(MAKE) --no-print-directory lint filter trapping-filter
	@$(STEP) "tests on wasm32" $(PARTS)/test-filter-wasm $(LOCKED)
	@$(STEP) build cargo build $(LOCKED) --workspace --all-targets
	@$(STEP) "tests of the documentation" cargo test --quiet $(LOCKED) --workspace --doc
	@$(STEP) tests $(WITH) cargo test $(LOCKED) --workspace --all-targets --no-fail-fast

# CYCLES kills of each role or MINUTES, whichever is over first; SEED repeats a storm. DESTINATION=jaeger is the real one.
# TORTURE holds more options, such as --kafka-up-ms 1500; Envoy stands in front when it and the filter are at hand.
torture: ## everything is killed, stopped, cut off and refused at once: CYCLES= MINUTES= SEED= DESTINATION=sink|jaeger
	@$(GET) native-libs kafka $(if $(filter jaeger,$(DESTINATION)),jaeger)
	@$(MAKE) --no-print-directory build
	@$(WITH) cargo run --quiet $(LOCKED) --bin torture -- $(if $(CYCLES),--cycles $(CYCLES)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(DESTINATION),--destination $(DESTINATION)) $(TORTURE)

lint: ## format, clippy here and for wasm32, licences, bans and sources of the dependencies
	@$(STEP) format cargo fmt --all --check
	@$(GET) native-libs
	@$(STEP) clippy cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	@$(STEP) "clippy of the filter for wasm32" $(PARTS)/lint-filter
	@$(STEP) dependencies $(PARTS)/check-dependencies

filter: ## the filter: target/filter/spanferry_filter.wasm
	@$(STEP) filter $(PARTS)/build-filter $(LOCKED)

trapping-filter: ## the filter that traps on purpose, for tests: target/filter/spanferry_filter_trapping.wasm
	@$(STEP) "filter that traps" $(PARTS)/build-filter --trapping $(LOCKED)

soak-filter: ## two million requests through Envoy while the bridge comes and goes (SPANFERRY_SOAK says how many)
	@$(GET) native-libs wasm-target envoy
	@$(MAKE) --no-print-directory filter build
	@SPANFERRY_SOAK=$${SPANFERRY_SOAK:-2000000} $(WITH) cargo test $(LOCKED) -p spanferry-tests --test path -- \
		much_traffic --nocapture

build: ## the binaries, natively
	@$(GET) native-libs
	@$(STEP) build cargo build $(LOCKED) --workspace --bins

clean-cache: ## forget every fetched part
	rm -rf "$${SPANFERRY_CACHE:-.cache}"
