#!/usr/bin/env bash
# One build of RocksDB must serve build, lint, tests, docs and run: a second one costs each newcomer another 12 minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
found=$(find "$target" -name librocksdb.a)
count=$(printf '%s' "$found" | grep -c . || true)
if [ "$count" != 1 ]; then
    printf 'expected one librocksdb.a under %s, found %s:\n%s\n' "$target" "$count" "$found" >&2
    printf 'A command used another profile or other flags: all of them use --release --workspace --locked. Remove what is stale.\n' >&2
    exit 1
fi
