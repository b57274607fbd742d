#!/usr/bin/env bash
# Every benchmark, or those named, one after the other; at the end what each took and how it ended.
# A figure that misses its limit is shown and ends in exit code 9.
#   scripts/bench.sh [export predict …]
set -uo pipefail
cd "$(dirname "$0")/.."
# As an installed wheel has it: without bytecode every start compiles the sources anew.
.venv/bin/python -m compileall -q edgekit
status=0
summary=''
[ $# -gt 0 ] || set -- $(printf '%s\n' scripts/bench_*.py | sed 's|.*/bench_||; s|\.py$||')
for name; do
    printf '\n== %s\n' "$name"
    SECONDS=0
    .venv/bin/python "scripts/bench_$name.py"
    case $? in
    0) outcome='ended well' ;;
    2) outcome='not run: it said above what it needs' ;;
    9) outcome='missed a limit'; status=9 ;;
    *) outcome='failed'; status=9 ;;
    esac
    summary+=$(printf '%-16s%6d s  %s' "$name" "$SECONDS" "$outcome")$'\n'
done
printf '\n== summary\n%s' "$summary"
exit $status
