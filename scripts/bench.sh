#!/usr/bin/env bash
# Every benchmark, one after the other; a figure that misses its limit is shown and ends in exit code 9.
set -uo pipefail
cd "$(dirname "$0")/.."
status=0
for script in scripts/bench_*.py; do
    printf '\n== %s\n' "$script"
    .venv/bin/python "$script" || status=9
done
exit $status
