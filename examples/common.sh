# Shared by the examples that start several servers: sourced, not run.
# An example keeps everything under one folder, $work: a log, a process id and the data of each server. `down` ends what `up` started.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '== %s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 2; }

# The folder; an example sets the default before it sources this file.
work=${EXAMPLE_DIR:-$default_work}

# The first port; an example counts up from there.
port_base=${EXAMPLE_PORT:-$default_port}

kvstore=${KVSTORE:-${CARGO_TARGET_DIR:-$root/target}/release/kvstore}
[ -x "$kvstore" ] || kvstore=$(command -v kvstore) || die "build kvstore first: make build"

# PostgreSQL, and Patroni with it, refuse to run as root: root runs them as the user of Debian's package.
as_postgres=()
if [ "$(id -u)" = 0 ]; then
    as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

pg_bin() {
    local newest
    newest=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    [ -x "$newest/postgres" ] || die "PostgreSQL is missing: scripts/install-deps.sh test installs what the examples need"
    printf '%s\n' "$newest"
}

# spawn NAME COMMAND...: starts a server in the background, in a process group of its own.
spawn() {
    local name=$1
    shift
    mkdir -p "$work/run" "$work/log"
    setsid "$@" >>"$work/log/$name.log" 2>&1 </dev/null &
    echo $! >"$work/run/$name.pid"
}

running() { [ -f "$work/run/$1.pid" ] && kill -0 "$(cat "$work/run/$1.pid")" 2>/dev/null; }

# end NAME [SIGNAL]: ends a server, and waits for it. A whole group is killed by KILL, so that nothing of it lives on.
end() {
    local name=$1 signal=${2:-TERM} pid deadline=$((SECONDS + 40))
    running "$name" || { rm -f "$work/run/$name.pid"; return 0; }
    pid=$(cat "$work/run/$name.pid")
    if [ "$signal" = KILL ]; then kill -KILL -- "-$pid" 2>/dev/null || true; else kill -s "$signal" "$pid" 2>/dev/null || true; fi
    while kill -0 "$pid" 2>/dev/null; do
        if [ $SECONDS -ge $deadline ]; then
            say "$name does not end; it is killed"
            kill -KILL -- "-$pid" 2>/dev/null || true
            deadline=$((SECONDS + 40))
        fi
        sleep 0.1
    done
    rm -f "$work/run/$name.pid"
}

# wait_for WHAT SECONDS COMMAND...: repeats the command until it succeeds.
wait_for() {
    local what=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { say "$what: not in time; the logs are in $work/log"; return 1; }
        sleep 0.1
    done
}

# answers URL: whether it answers 200.
answers() { [ "$(curl -s -o /dev/null -m 2 -w '%{http_code}' "$1")" = 200 ]; }

# start_node NAME PORT: one stateless kvstore; the caller sets KVSTORE_DATABASE_URL, and REDIS_URL where there is a cache.
start_node() {
    spawn "$1" "$kvstore" serve --storage postgres --listen "127.0.0.1:$2"
}

# ready PORT...: waits until each of these nodes serves. Before that a proxy would answer 502 for it.
ready() {
    local port
    for port in "$@"; do wait_for "the node on port $port" 60 answers "http://127.0.0.1:$port/readyz"; done
}

# start_postgres PORT: one PostgreSQL with the database kvstore, which every local user may use.
start_postgres() {
    local port=$1 bin
    bin=$(pg_bin)
    if [ ! -d "$work/postgres" ]; then
        mkdir -p "$work/postgres"
        [ "$(id -u)" != 0 ] || { chmod 755 "$work"; chown postgres "$work/postgres"; }
        "${as_postgres[@]}" "$bin/initdb" -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 -D "$work/postgres" >/dev/null
    fi
    spawn postgres "${as_postgres[@]}" "$bin/postgres" -D "$work/postgres" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories=
    wait_for "PostgreSQL" 60 "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"
    wait_for "the database kvstore" 30 make_database "postgres://postgres@127.0.0.1:$port"
}

# make_database SERVER: makes the database kvstore, unless it is there.
make_database() {
    local psql
    psql=$(pg_bin)/psql
    "$psql" -X -q "$1/kvstore" -c 'SELECT 1' || "$psql" -X -q "$1/postgres" -c 'CREATE DATABASE kvstore'
}

# Ends every server that `up` started, in this order and then the rest.
end_all() {
    local name file
    for name in "$@"; do end "$name"; done
    for file in "$work"/run/*.pid; do
        [ -e "$file" ] || continue
        end "$(basename "$file" .pid)"
    done
}
