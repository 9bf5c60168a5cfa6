#!/usr/bin/env bash
# Installs what building, testing and measuring need from Debian's archive, and only what is missing.
# Usage: scripts/install-deps.sh [build|test]
#   build   compilers and libclang: enough for `make run`
#   test    the same, and what the tests, the benchmark and the torture run use
set -euo pipefail

what=${1:-build}

packages=(clang libclang-dev pkg-config g++ make curl ca-certificates)
if [ "$what" = test ]; then
    packages+=(postgresql pgbouncer patroni python3-etcd haproxy nginx redis-server redis-tools etcd-server etcd-client strace e2fsprogs util-linux procps
        python3 python3-venv apt
        chromium chromium-driver fonts-dejavu-core systemd)
fi

say() { printf '== %s\n' "$*" >&2; }

if ! command -v apt-get >/dev/null; then
    say "this machine has no apt-get; install what answers to these Debian packages: ${packages[*]}"
    command -v clang >/dev/null && command -v c++ >/dev/null && command -v curl >/dev/null
else
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { say "installing needs root or sudo"; exit 1; }
        as_root=(sudo)
    fi

    missing=()
    for package in "${packages[@]}"; do
        # ${db:Status-Status} is dpkg's own field, not a variable of this shell.
        # shellcheck disable=SC2016
        status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || missing+=("$package")
    done

    # The example reads the package lists; without them apt-cache prints nothing.
    lists_are_empty() { [ -z "$(apt-cache dumpavail 2>/dev/null | head -c 1)" ]; }

    if [ ${#missing[@]} -gt 0 ] || { [ "$what" = test ] && lists_are_empty; }; then
        say "apt-get update"
        "${as_root[@]}" apt-get update -qq
    fi

    if [ ${#missing[@]} -gt 0 ]; then
        say "installing ${missing[*]}"
        # Debian starts a service as it installs it; while this file is there, it does not. Nothing we install is left running.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
            "${as_root[@]}" chmod 755 "$policy"
            trap '"${as_root[@]}" rm -f "$policy"' EXIT
        fi
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
fi

if ! command -v cargo >/dev/null && [ ! -x "$HOME/.cargo/bin/cargo" ]; then
    say "Rust is missing: install it from https://rustup.rs, then start again"
    exit 1
fi
