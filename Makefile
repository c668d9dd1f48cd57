# `make` alone says what there is.
.DEFAULT_GOAL := help
include deploy/local/stack.mk

CARGO ?= cargo
TOLLGATE := $(or $(CARGO_TARGET_DIR),target)/debug/tollgate

.PHONY: help demo test lint chaos fuzz simulation model measure bench

help:
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(TOLLGATE): build
.PHONY: build
build: ## the program, for development
	@$(CARGO) build --locked

demo: stack build ## fresh machine to running system: plays the story of a workspace (EXIT=1: and ends)
	@EXIT=$(EXIT) deploy/local/demo $(TOLLGATE)

lint: ## format, lints, links of the docs
	@$(CARGO) fmt --check
	@$(CARGO) clippy --locked --all-targets --quiet -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet

test: stack lint ## everything that must hold, on the real servers
	@python3 deploy/local/test_front.py
	@"$$(deploy/local/stack promtool)" test rules deploy/prometheus/alerts_test.yml
	@$(CARGO) test --locked

# TOLLGATE_CHAOS_MINUTES and TOLLGATE_CHAOS_SEED choose; servers of its own are started and removed.
chaos: export TOLLGATE_CHAOS_MINUTES ?= 30
chaos: ## breaks servers and processes under load for 30 minutes, then judges what is left
	@$(CARGO) test --locked --test chaos -- --nocapture

fuzz: ## bad input to every reader, TOLLGATE_FUZZ_SECONDS (60) each
	@TOLLGATE_FUZZ_SECONDS=$(or $(TOLLGATE_FUZZ_SECONDS),60) \
		$(CARGO) test --locked --test fuzz -- --nocapture --test-threads 2

simulation: ## the pipeline in simulated weather, TOLLGATE_SIM_SEEDS (10000) seeds
	@TOLLGATE_SIM_SEEDS=$(or $(TOLLGATE_SIM_SEEDS),10000) \
		$(CARGO) test --locked --lib simulation::seeds_hold -- --nocapture

model: stack ## the Lua against the model, TOLLGATE_MODEL_CASES (2000) cases, and lives that Redis loses
	@TOLLGATE_MODEL_CASES=$(or $(TOLLGATE_MODEL_CASES),2000) TOLLGATE_MODEL_LIVES=200 \
		$(CARGO) test --locked --test it ledger::model -- --nocapture --test-threads 1
	@TOLLGATE_REBUILD_SEEDS=$(or $(TOLLGATE_REBUILD_SEEDS),10) \
		$(CARGO) test --locked --test it a_life_of_every_seed -- --nocapture

measure: stack ## only ours, once: events per second drained, and CPU of each process per event
	@TOLLGATE_BENCH_ONLY=tollgate TOLLGATE_BENCH_ROUNDS=1 TOLLGATE_BENCH_RATES=none TOLLGATE_BENCH_CHECKS=0 \
		$(CARGO) bench --locked --bench bench

# TOLLGATE_BENCH_EVENTS, _ROUNDS, _ONLY, _SETS, _RATES and _CHECKS choose; _WRITE=1 puts the report into docs/performance.*
bench: stack ## ours and the usual designs on the same events, side by side; about an hour
	@$(CARGO) bench --locked --bench bench
