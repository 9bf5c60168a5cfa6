#!/usr/bin/env bash
# Loads Debian's package index into a running kvstore, pages through the python3- packages and reads one.
# KVSTORE_URL and KVSTORE_TOKEN say which server; KVSTORE names the binary, if it is neither built here nor on the PATH.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

kvstore=${KVSTORE:-}
if [ -z "$kvstore" ]; then
    kvstore=${CARGO_TARGET_DIR:-$here/../../target}/release/kvstore
    [ -x "$kvstore" ] || kvstore=$(command -v kvstore) || { echo "build kvstore first: make build" >&2; exit 2; }
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "== health"
# Asked before the work of loading begins, so that a server that is not there is reported at once.
"$kvstore" health >"$work/health.json"
grep '"status"' "$work/health.json"

echo "== import"
LC_ALL=C.UTF-8 apt-cache dumpavail | python3 "$here/to_ndjson.py" >"$work/packages.ndjson"
if [ ! -s "$work/packages.ndjson" ]; then
    echo "apt-cache dumpavail prints nothing: run apt-get update first" >&2
    exit 2
fi
"$kvstore" import "$work/packages.ndjson"

echo "== the packages that begin with python3-"
"$kvstore" list --prefix python3- --keys-only >"$work/python.txt"
head -n 5 "$work/python.txt"
echo "... $(wc -l <"$work/python.txt") in all"

package=${1:-bash}
echo "== $package"
"$kvstore" get "$package"
