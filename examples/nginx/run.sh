#!/usr/bin/env bash
# Two stateless kvstore nodes over one PostgreSQL, and nginx before them.
# Usage: run.sh up | down | clean
set -euo pipefail
default_work=${TMPDIR:-/tmp}/kvstore-example-nginx
default_port=8300
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

node_1=$((port_base + 1)) node_2=$((port_base + 2)) postgres=$((port_base + 32))

up() {
    mkdir -p "$work"/nginx
    start_postgres "$postgres"
    export KVSTORE_DATABASE_URL="postgres://postgres@127.0.0.1:$postgres/kvstore"
    start_node node-1 "$node_1"
    start_node node-2 "$node_2"
    ready "$node_1" "$node_2"
    # nginx reads no environment: the ports are written into a copy.
    sed -e "s/127.0.0.1:8000/127.0.0.1:$port_base/" -e "s/127.0.0.1:8001/127.0.0.1:$node_1/" -e "s/127.0.0.1:8002/127.0.0.1:$node_2/" \
        "$here/nginx.conf" >"$work/nginx/nginx.conf"
    spawn nginx nginx -p "$work/nginx" -e stderr -c nginx.conf -g 'daemon off;'
    wait_for "nginx and a node behind it" 60 answers "http://127.0.0.1:$port_base/readyz"
    say "nginx on http://127.0.0.1:$port_base, the nodes behind it on ports $node_1 and $node_2"
}

case ${1:-} in
up) up ;;
down) end_all nginx node-1 node-2 ;;
clean) end_all nginx node-1 node-2; rm -rf -- "$work" ;;
*) die "usage: $0 up | down | clean" ;;
esac
