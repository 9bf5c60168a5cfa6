#!/usr/bin/env bash
# What `make test` runs, step by step, with a summary at the end. It stops at the first step that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH"

flags=(--release --workspace --locked)
steps=()
started=$SECONDS

summary() {
    local status=$?
    printf '\n== summary\n'
    local line
    for line in "${steps[@]}"; do printf '%s\n' "$line"; done
    if [ "$status" = 0 ]; then
        printf 'make test passed in %d s\n' $((SECONDS - started))
    else
        printf 'make test FAILED in the step above that is not marked ok\n'
    fi
}
trap summary EXIT

step() {
    local name=$1 begun=$SECONDS
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    steps+=("  FAILED  $name")
    "$@"
    steps[-1]="  ok      $name ($((SECONDS - begun)) s)"
}

documented() { RUSTDOCFLAGS="-D warnings" cargo doc --no-deps "${flags[@]}"; }

step format cargo fmt --all --check
step build scripts/first-build.sh cargo build "${flags[@]}"
step lint cargo clippy "${flags[@]}" --all-targets -- -D warnings
step tests cargo test "${flags[@]}"
step docs documented
step "short torture" "${CARGO_TARGET_DIR:-target}/release/kvstore-torture" short
step "short torture over PostgreSQL" "${CARGO_TARGET_DIR:-target}/release/kvstore-torture" postgres --restarts 4 --histories 1
# Everything that is measured, for a moment: whether it works, not how fast it is.
step "short bench" "${CARGO_TARGET_DIR:-target}/release/kvstore-bench" --quick \
    --only hot-get --only put --only batch --only pages --only mixed --only latency --only transfers --only postgres
step schemathesis scripts/schemathesis.sh
step packaging scripts/check-packaging.sh
step "one RocksDB" scripts/check-one-rocksdb.sh
