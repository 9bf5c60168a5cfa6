#!/usr/bin/env bash
# Fetches Swagger UI and ReDoc from npm, at the versions below, into crates/api/web/vendor. The build embeds what lies there and
# never runs npm. To take another version: change it here, run this, look at the diff and at both pages, run the browser test.
#
# ReDoc stays on 2.x: the bundle of 3.0 sends telemetry and loads icons and a logo from other hosts.
set -euo pipefail
cd "$(dirname "$0")/.."

swagger_ui=5.35.0
redoc=2.5.4

vendor=crates/api/web/vendor
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT

fetch() {
    local name=$1 version=$2
    (cd "$fetched" && npm pack --silent "$name@$version" >/dev/null)
    mkdir "$fetched/$name"
    tar -xzf "$fetched/$name-$version.tgz" -C "$fetched/$name" --strip-components=1
}

# Source maps are not shipped, so nothing should ask for them.
take() {
    local from=$1 to=$2
    sed -E '/^(\/\/|\/\*)# sourceMappingURL=[^ ]*( \*\/)?$/d; s/\/\*# sourceMappingURL=[A-Za-z0-9.-]+ ?\*\///' "$from" >"$to"
    printf '   %s (%d bytes)\n' "$to" "$(wc -c <"$to")"
}

printf '== swagger-ui-dist %s\n' "$swagger_ui"
fetch swagger-ui-dist "$swagger_ui"
rm -rf "$vendor/swagger-ui" && mkdir -p "$vendor/swagger-ui"
for file in swagger-ui-bundle.js swagger-ui.css; do
    take "$fetched/swagger-ui-dist/$file" "$vendor/swagger-ui/$file"
done
for file in LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt; do
    cp "$fetched/swagger-ui-dist/$file" "$vendor/swagger-ui/"
done

printf '== redoc %s\n' "$redoc"
fetch redoc "$redoc"
rm -rf "$vendor/redoc" && mkdir -p "$vendor/redoc"
take "$fetched/redoc/bundles/redoc.standalone.js" "$vendor/redoc/redoc.standalone.js"
cp "$fetched/redoc/LICENSE" "$fetched"/redoc/bundles/redoc.standalone.js.LICENSE.txt "$vendor/redoc/"
# The licences of what runs in its search worker, which is inside the bundle.
cp "$fetched"/redoc/bundles/*.worker.js.LICENSE.txt "$vendor/redoc/worker.js.LICENSE.txt"

# Beside the words "API docs by Redocly" ReDoc shows a logo from another host. An image that can't be loaded is left out by ReDoc
# itself, and the words and their link stay.
logo='https://cdn.redoc.ly/redoc/logo-mini.svg'
found=$(grep -oF "$logo" "$vendor/redoc/redoc.standalone.js" | wc -l)
if [ "$found" != 1 ]; then
    printf 'expected the address of the logo once in the bundle of ReDoc, found it %s times: look at what this version loads\n' "$found" >&2
    exit 1
fi
sed -i "s|$logo|data:,|" "$vendor/redoc/redoc.standalone.js"
printf '   the logo of another host is taken out of %s\n' "$vendor/redoc/redoc.standalone.js"

cat >"$vendor/README.md" <<END
Swagger UI $swagger_ui (Apache-2.0) and ReDoc $redoc (MIT) from npm, put here by \`scripts/refresh-web-vendor.sh\`. Do not edit by hand.
Left out: source maps and builds that are not used. Changed: references to source maps, and the address of ReDoc's logo.
END
du -sh "$vendor"
