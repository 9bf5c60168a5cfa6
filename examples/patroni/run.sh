#!/usr/bin/env bash
# Three PostgreSQL under Patroni with etcd, HAProxy before the primary, and two kvstore nodes.
# Usage: run.sh up | down | clean | primary | kill-primary | revive NAME | members
#   primary        prints the name of the primary
#   kill-primary   kills it, Patroni and PostgreSQL, with SIGKILL, and prints its name
#   revive NAME    starts a killed one again, and waits until it follows the primary and a commit can wait for it
set -euo pipefail
default_work=${TMPDIR:-/tmp}/kvstore-example-patroni
default_port=8400
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

# By example from 8400: nodes on 8401 and 8402, HAProxy before the primary on 8432, PostgreSQL on 8441 to 8443, Patroni on 8451 to 8453.
node_1=$((port_base + 1)) node_2=$((port_base + 2)) front=$((port_base + 32))
etcd_client=$((port_base + 79)) etcd_peer=$((port_base + 80))
members=(pg-1 pg-2 pg-3)
pg_port() { echo $((port_base + 40 + ${1#pg-})); }
rest_port() { echo $((port_base + 50 + ${1#pg-})); }

configure() {
    local name=$1 bin
    bin=$(pg_bin)
    mkdir -p "$work/$name"
    sed -e "s/NAME/$name/" -e "s/REST_PORT/$(rest_port "$name")/" -e "s/PG_PORT/$(pg_port "$name")/" -e "s/ETCD_PORT/$etcd_client/" \
        -e "s|BIN_DIR|$bin|" -e "s|DATA_DIR|$work/$name|" "$here/patroni.yml.in" >"$work/$name/patroni.yml"
    if [ "$(id -u)" = 0 ]; then
        chmod 755 "$work"
        chown -R postgres "$work/$name"
    fi
    chmod 700 "$work/$name"
}

start_member() { spawn "$1" "${as_postgres[@]}" patroni "$work/$1/patroni.yml"; }

# member_is NAME PATH: what Patroni's own health check says; /primary, /replica, /sync.
member_is() { answers "http://127.0.0.1:$(rest_port "$1")/$2"; }

primary() {
    local name
    for name in "${members[@]}"; do
        if member_is "$name" primary; then echo "$name"; return 0; fi
    done
    return 1
}

# Whether a commit finds a second machine: with synchronous_mode_strict there are no writes without.
has_sync() {
    local name
    for name in "${members[@]}"; do
        if member_is "$name" sync; then return 0; fi
    done
    return 1
}

up() {
    local name
    mkdir -p "$work"
    say "etcd on port $etcd_client"
    spawn etcd etcd --name example --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$etcd_client" \
        --advertise-client-urls "http://127.0.0.1:$etcd_client" --listen-peer-urls "http://127.0.0.1:$etcd_peer" \
        --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peer" --initial-cluster "example=http://127.0.0.1:$etcd_peer" --logger zap
    wait_for "etcd" 30 answers "http://127.0.0.1:$etcd_client/health"
    say "three PostgreSQL under Patroni"
    for name in "${members[@]}"; do
        configure "$name"
        start_member "$name"
    done
    wait_for "a primary" 120 primary
    for name in "${members[@]}"; do wait_for "$name" 120 follows "$name"; done
    wait_for "a synchronous standby" 60 has_sync
    FRONT=127.0.0.1:$front PG_1=127.0.0.1:$(pg_port pg-1) PG_2=127.0.0.1:$(pg_port pg-2) PG_3=127.0.0.1:$(pg_port pg-3) \
        REST_1=$(rest_port pg-1) REST_2=$(rest_port pg-2) REST_3=$(rest_port pg-3) spawn haproxy haproxy -db -f "$here/haproxy.cfg"
    local server=postgres://postgres:example-superuser@127.0.0.1:$front
    # HAProxy takes all three for primaries until it has asked them.
    wait_for "the database kvstore, through HAProxy" 30 make_database "$server"
    export KVSTORE_DATABASE_URL=$server/kvstore
    start_node node-1 "$node_1"
    start_node node-2 "$node_2"
    ready "$node_1" "$node_2"
    for port in "$node_1" "$node_2"; do
        say "kvstore on http://127.0.0.1:$port"
    done
    say "the primary is $(primary); HAProxy leads to it on port $front"
}

follows() { member_is "$1" primary || member_is "$1" replica; }

revive() {
    start_member "$1"
    wait_for "$1" 120 follows "$1"
    wait_for "a synchronous standby" 60 has_sync
}

kill_primary() {
    local name
    name=$(primary) || die "there is no primary"
    kill_member "$name"
    echo "$name"
}

# PostgreSQL leaves Patroni's process group, so it is killed by itself; its own processes end with it.
kill_member() {
    local pid
    pid=$(head -n 1 "$work/$1/data/postmaster.pid" 2>/dev/null || true)
    end "$1" KILL
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
}

down() {
    local name
    for name in node-1 node-2 haproxy; do end "$name"; done
    # A member that ends in order passes on its role; in the end nobody is left to take it.
    for name in "${members[@]}"; do end "$name"; done
    end etcd
}

case ${1:-} in
up) up ;;
down) down ;;
clean) down; rm -rf -- "$work" ;;
primary) primary ;;
kill-primary) kill_primary ;;
revive) revive "${2:?a name}" ;;
members) for name in "${members[@]}"; do echo "$name $(curl -s -m 2 "http://127.0.0.1:$(rest_port "$name")/patroni" || echo 'does not answer')"; done ;;
*) die "usage: $0 up | down | clean | primary | kill-primary | revive NAME | members" ;;
esac
