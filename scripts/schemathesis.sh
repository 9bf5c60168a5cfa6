#!/usr/bin/env bash
# Holds a live server to its OpenAPI document: schemathesis makes requests from the document, well-formed and not, and fails on every
# answer that the document does not describe and on every 5xx that is not a refusal (503, 504, 507).
# Usage: scripts/schemathesis.sh [EXAMPLES]
#   EXAMPLES  cases of the fuzzing phase for each operation; the coverage phase adds its own
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.32.5
examples=${1:-600}
target=${CARGO_TARGET_DIR:-target}
venv=$target/schemathesis-$version

say() { printf '== %s\n' "$*" >&2; }

if [ ! -e "$venv/installed" ]; then
    say "installing schemathesis $version into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
    touch "$venv/installed"
fi

work=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

export KVSTORE_TOKEN=schemathesis
"$target/release/kvstore" serve --listen 127.0.0.1:0 --data-dir "$work/data" 2>"$work/server.log" &
server=$!
url=
for _ in $(seq 1 300); do
    url=$(sed -n 's|^ *API *\(http://[^ /]*\)/kv-store/v1/$|\1|p' "$work/server.log")
    [ -n "$url" ] && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
if [ -z "$url" ]; then
    say "the server did not start: $(cat "$work/server.log")"
    exit 1
fi

curl --silent --show-error --fail --output "$work/schema.json" "$url/kv-store/schema/"
"$venv/bin/python" scripts/check_examples.py "$work/schema.json"

# A restore goes into an empty store. What is restored here is found there by the requests that repeat the document's example.
"$venv/bin/python" -c 'import json, sys
document = json.load(open(sys.argv[1]))
json.dump(document["paths"]["/kv-store/v1/restore/"]["post"]["requestBody"]["content"]["application/json"]["examples"]["an_export"]["value"], sys.stdout)' \
    "$work/schema.json" >"$work/restore.json"
curl --silent --show-error --fail --output /dev/null --header "Authorization: Bearer $KVSTORE_TOKEN" \
    --header "Content-Type: application/json" --data "@$work/restore.json" "$url/kv-store/v1/restore/"

status=0
scripts=$PWD/scripts
schemathesis=$(realpath "$venv")/bin/schemathesis
# It leaves out the operation that it loads the document from, so it gets a file; and it keeps files where it runs. One worker: parsing
# in two threads at once now and then ends with a SystemError in Python 3.11.
(cd "$work" && SCHEMATHESIS_HOOKS=$scripts/schemathesis_checks.py "$schemathesis" --config-file "$scripts/schemathesis.toml" \
    run "$work/schema.json" --url "$url" --header "Authorization: Bearer $KVSTORE_TOKEN" --phases examples,coverage,fuzzing \
    --max-examples "$examples" --seed 20261124 --generation-database none --workers 1 --continue-on-failure --no-color) || status=$?

if ! kill -0 "$server" 2>/dev/null; then
    say "the server ended by itself: $(tail -n 20 "$work/server.log")"
    status=1
fi
exit "$status"
