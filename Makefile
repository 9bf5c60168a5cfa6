# The commands of this repository. All builds share one profile and one target folder: RocksDB is compiled once (about 12 minutes
# on 2 cores), for build, lint, tests, docs and run alike.

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
CARGO_FLAGS := --release --workspace --locked
BIN := $(or $(CARGO_TARGET_DIR),target)/release

.DEFAULT_GOAL := help
.PHONY: help deps deps-test build run test lint fmt docs bench bench-large torture torture-postgres test-ha fuzz-api

help: ## Show the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

deps: ## Install what building needs and this machine lacks (Debian)
	@scripts/install-deps.sh build

deps-test: ## The same for tests, benchmark and torture
	@scripts/install-deps.sh test

build: ## Build everything
	@scripts/first-build.sh cargo build $(CARGO_FLAGS)

run: deps build ## Serve on http://127.0.0.1:8000 with the data in ./kvstore-data
	exec $(BIN)/kvstore serve

test: deps-test ## Format check, lints, tests, docs, the example and a short torture run
	@scripts/test.sh

lint: ## Lints, with warnings as errors
	scripts/first-build.sh cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

fmt: ## Format the code
	cargo fmt --all

docs: ## Build the API documentation
	RUSTDOCFLAGS="-D warnings" scripts/first-build.sh cargo doc --no-deps $(CARGO_FLAGS)

bench: deps-test build ## Measure the server against its peers on this machine
	$(BIN)/kvstore-bench

bench-large: deps-test build ## Measure 16 million entries under a memory cap of 1 GiB
	$(BIN)/kvstore-bench large

# The tool exits with 3 where a part could not run; make says "Error 3" then, and itself always exits with 2.
torture: deps-test build ## 200 kill -9 cycles, histories, power loss, I/O errors, a full disk
	$(BIN)/kvstore-torture full --cycles 200

# KVSTORE_TEST_DATABASE_URL names a database of your own, WHOSE ENTRIES ARE DELETED. It is not broken, only nodes and Redis are, so make
# says "Error 3".
torture-postgres: deps-test build ## 50 restarts of PostgreSQL, and Redis, nodes and links that break
	$(BIN)/kvstore-torture postgres

test-ha: deps-test build ## 10 failovers of PostgreSQL under Patroni
	$(BIN)/kvstore-torture ha --failovers 10

fuzz-api: deps-test build ## Many more generated requests against the OpenAPI document than make test
	@scripts/schemathesis.sh 3000
