#!/usr/bin/env bash
# Runs a cargo command, and where RocksDB has not been compiled yet says how long that takes and how far it is: a silent quarter of an
# hour looks like a hang.
# Usage: scripts/first-build.sh cargo build ...
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
objects_in_all=343

compiled() { { find "$target" -path '*librocksdb-sys*' -name '*.o' 2>/dev/null || true; } | wc -l; }

if [ -n "$(find "$target" -name librocksdb.a -print -quit 2>/dev/null)" ]; then
    exec "$@"
fi

printf '== First build: RocksDB is compiled from source, once. That takes about 12 minutes on 2 cores; this machine has %s.\n' "$(nproc)" >&2
(
    started=$SECONDS
    while sleep 30; do
        objects=$(compiled)
        if [ "$objects" -gt 0 ] && [ "$objects" -lt "$objects_in_all" ]; then
            printf '   RocksDB: %d of about %d files compiled after %d s\n' "$objects" "$objects_in_all" $((SECONDS - started)) >&3
        fi
    done
) 3>&2 2>/dev/null & # The shell would tell of the sleep that is ended below.
progress=$!
# The loop's own sleep ends with it.
trap 'pkill -P "$progress" 2>/dev/null || true; kill "$progress" 2>/dev/null || true; wait "$progress" 2>/dev/null || true' EXIT
"$@"
