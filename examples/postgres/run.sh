#!/usr/bin/env bash
# PostgreSQL, Redis and two kvstore nodes on this machine, from Debian's packages.
# Usage: run.sh up | down | clean
set -euo pipefail
default_work=${TMPDIR:-/tmp}/kvstore-example-postgres
default_port=8100
. "$(dirname "$0")/../common.sh"

node_1=$((port_base + 1)) node_2=$((port_base + 2)) postgres=$((port_base + 32)) redis=$((port_base + 79))

up() {
    mkdir -p "$work"
    say "PostgreSQL on port $postgres, Redis on port $redis"
    start_postgres "$postgres"
    spawn redis redis-server --bind 127.0.0.1 --port "$redis" --save '' --appendonly no --maxmemory 256mb --maxmemory-policy noeviction
    wait_for "Redis" 30 redis-cli -p "$redis" ping
    export KVSTORE_DATABASE_URL="postgres://postgres@127.0.0.1:$postgres/kvstore" REDIS_URL="redis://127.0.0.1:$redis"
    start_node node-1 "$node_1"
    start_node node-2 "$node_2"
    ready "$node_1" "$node_2"
    for port in "$node_1" "$node_2"; do
        say "kvstore on http://127.0.0.1:$port"
    done
}

case ${1:-} in
up) up ;;
down) end_all node-1 node-2 redis ;;
clean) end_all node-1 node-2 redis; rm -rf -- "$work" ;;
*) die "usage: $0 up | down | clean" ;;
esac
