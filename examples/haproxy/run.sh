#!/usr/bin/env bash
# Two stateless kvstore nodes over one PostgreSQL, and HAProxy before them.
# Usage: run.sh up | down | clean
set -euo pipefail
default_work=${TMPDIR:-/tmp}/kvstore-example-haproxy
default_port=8200
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

node_1=$((port_base + 1)) node_2=$((port_base + 2)) postgres=$((port_base + 32))

up() {
    mkdir -p "$work"
    start_postgres "$postgres"
    export KVSTORE_DATABASE_URL="postgres://postgres@127.0.0.1:$postgres/kvstore"
    start_node node-1 "$node_1"
    start_node node-2 "$node_2"
    ready "$node_1" "$node_2"
    FRONT=127.0.0.1:$port_base NODE_1=127.0.0.1:$node_1 NODE_2=127.0.0.1:$node_2 spawn haproxy haproxy -db -f "$here/haproxy.cfg"
    wait_for "HAProxy and a node behind it" 60 answers "http://127.0.0.1:$port_base/readyz"
    say "HAProxy on http://127.0.0.1:$port_base, the nodes behind it on ports $node_1 and $node_2"
}

case ${1:-} in
up) up ;;
down) end_all haproxy node-1 node-2 ;;
clean) end_all haproxy node-1 node-2; rm -rf -- "$work" ;;
*) die "usage: $0 up | down | clean" ;;
esac
