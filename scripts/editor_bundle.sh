#!/usr/bin/env bash
# Makes src/microclaw/interfaces/page/static/vendor/codemirror.js, the editor's bundle, and its licences from the packages as npm has them. For
# developers who raise a version (needs node): raise it below, run this, put what it prints into vendored.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
vendor=$PWD/src/microclaw/interfaces/page/static/vendor
place=.page-check/codemirror
packages=(@codemirror/autocomplete@6.20.4 @codemirror/commands@6.11.1 @codemirror/lang-cpp@6.0.3 @codemirror/lang-python@6.2.1
    @codemirror/language@6.13.1 @codemirror/lint@6.9.8 @codemirror/search@6.7.2 @codemirror/state@6.7.6 @codemirror/streamparser@6.0.0
    @codemirror/view@6.43.15 @lezer/common@1.5.5 @lezer/cpp@1.1.6 @lezer/highlight@1.2.5 @lezer/lr@1.4.12 @lezer/python@1.1.19
    @marijn/find-cluster-break@1.0.4 crelt@1.0.7 style-mod@4.1.4 w3c-keyname@2.2.8)
rm -rf "$place"
mkdir -p "$place"
cd "$place"
echo '{"private": true, "type": "module"}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact "${packages[@]}" esbuild@0.28.2
came=$(npm ls --all --parseable --long 2>/dev/null | sed -n 's|^.*/node_modules/.*:\(.*@.*\)$|\1|p' | grep -v esbuild | sort)
[[ $came == "$(printf '%s\n' "${packages[@]}" | sort)" ]] || { printf 'these came, pin them all:\n%s\n' "$came" >&2; exit 1; }
cat >entry.js <<'JS'
export { Compartment, EditorState } from "@codemirror/state";
export { EditorView, drawSelection, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
export { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
export { HighlightStyle, bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
export { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
export { search, searchKeymap } from "@codemirror/search";
export { cpp } from "@codemirror/lang-cpp";
export { python } from "@codemirror/lang-python";
export { tags } from "@lezer/highlight";
JS
node_modules/@esbuild/*/bin/esbuild entry.js --bundle --minify --format=esm --target=es2022 --legal-comments=none \
    --log-level=warning --outfile="$vendor/codemirror.js"
for one in "${packages[@]}"; do
    printf '%s\n\n' "$one"
    cat "node_modules/${one%@*}/LICENSE"
    printf '\n\n'
done >"$vendor/codemirror.LICENSE.txt"
sha256sum "$vendor/codemirror.js"
