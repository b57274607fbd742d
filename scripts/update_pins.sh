#!/usr/bin/env bash
# Pin constraints.txt anew: the newest versions that the extras `all`, `docs` and `test` allow, for every Python that
# edgekit supports.   scripts/update_pins.sh [PACKAGE...]   (only these; without: all)
# Run `make setup test test-slow` before committing it.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { printf 'error: uv is not on PATH\nhint: pip install uv\n' >&2; exit 4; }
options=()
if [ $# = 0 ]; then
    options+=(--upgrade)
else
    for package; do options+=(--upgrade-package "$package"); done
fi
part=$(mktemp constraints.XXXXXX.part)
trap 'rm -f "$part"' EXIT
cp constraints.txt "$part" # uv keeps the pins that it finds in its output file
printf 'pip\nsetuptools\nuv\nwheel\n' |
    uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate \
        --extra all --extra docs --extra test "${options[@]}" --output-file "$part" pyproject.toml -
{
    echo '# Versions that are tested together; pip install -c constraints.txt. Written by scripts/update_pins.sh.'
    grep -v '^#' "$part"
} >"$part.whole"
mv "$part.whole" constraints.txt
git --no-pager diff --stat -- constraints.txt
