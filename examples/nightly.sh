#!/usr/bin/env bash
# Measure, then compare with the run before; exit code 9 when something got slower.   examples/nightly.sh [DIRECTORY]
# Further arguments go to `edgekit bench`.
set -euo pipefail
directory=${1:-results}
shift $(($# > 0))
edgekit=${EDGEKIT:-edgekit}
configuration=$(dirname "$0")/nightly.toml

mkdir -p "$directory"
latest=$directory/nightly-latest.json
before=$directory/nightly-before.json
new=$directory/nightly-$(date -u +%Y%m%dT%H%M%S).json
"$edgekit" bench --config "$configuration" "$@" -o "$new"
if [ -e "$latest" ]; then
    mv "$latest" "$before"
fi
cp "$new" "$latest"
if [ -e "$before" ]; then
    "$edgekit" compare "$before" "$latest"
fi
