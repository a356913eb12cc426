#!/usr/bin/env bash
# Checks the types of the page's scripts (JSDoc) with TypeScript, a tool for developers alone: fetched by npm, in .page-check, its bytes
# checked. Without node it says so and passes, but not in CI (MICROCLAW_CI=1).
set -euo pipefail
cd "$(dirname "$0")/.."
version=5.9.3
sha256=10e108c9cf7d5f2879053dff18515fb405abf2ccef63eaaf017d9c571687a1d3
place=.page-check/typescript-$version
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    echo "node and npm are not here: the types of the page's scripts are not checked" >&2
    [[ -z ${MICROCLAW_CI:-} ]]
    exit
fi
if [[ ! -f $place/lib/tsc.js ]]; then
    rm -rf .page-check
    mkdir -p "$place"
    (cd .page-check && npm pack --silent "typescript@$version" >/dev/null)
    echo "$sha256  .page-check/typescript-$version.tgz" | sha256sum --check --quiet
    tar -xzf ".page-check/typescript-$version.tgz" -C "$place" --strip-components=1
fi
node "$place/lib/tsc.js" -p src/microclaw/interfaces/page/tsconfig.json
echo "types of the page's scripts: ok"
