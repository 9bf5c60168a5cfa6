#!/usr/bin/env bash
# What can be checked of packaging/ without installing it: that systemd understands the unit and that it stays locked down.
set -euo pipefail
cd "$(dirname "$0")/.."

# systemd reads the exposure as tenths; 2.0 and less is what it calls OK.
exposure_max=20
binary=$(realpath "${CARGO_TARGET_DIR:-target}/release/kvstore")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The unit names the installed binary, which is not there; the one that was built stands in for it.
sed "s|^ExecStart=/usr/local/bin/kvstore |ExecStart=$binary |" packaging/kvstore.service >"$work/kvstore.service"
grep -q "^ExecStart=$binary serve$" "$work/kvstore.service"
# What docs/operations.md says of exit codes: damaged data is not tried again in a loop, a failed write is.
grep -q '^Restart=on-failure$' packaging/kvstore.service
grep -q '^RestartPreventExitStatus=2 4$' packaging/kvstore.service
complaints=$(systemd-analyze verify --man=no "$work/kvstore.service" 2>&1)
if [ -n "$complaints" ]; then
    printf 'systemd does not take packaging/kvstore.service as it is:\n%s\n' "$complaints" >&2
    exit 1
fi
systemd-analyze security --offline=true --threshold="$exposure_max" --no-pager packaging/kvstore.service 2>/dev/null | tail -n 1
