#!/usr/bin/env bash
# Make the environment that `make demo` and `make test` run in.   scripts/setup.sh VENV
# $PYTHON chooses the interpreter, 3.10 to 3.14; otherwise the first one found that has wheels of everything, 3.10 to
# 3.12, is taken, else a later one, beside which Paddle gets an environment of its own.
set -euo pipefail
venv=$1
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'error: %s\nhint: %s\n' "$1" "$2" >&2; exit 4; }

suits() { "$1" -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, ${2:-14}))" 2>/dev/null; }

find_python() {
    local newest candidate
    for newest in 12 14; do
        for candidate in ${PYTHON:-python3 python3.11 python3.10 python3.12 python3.13 python3.14 "$HOME"/.pyenv/versions/3.1[0-4].*/bin/python}; do
            if command -v "$candidate" >/dev/null && suits "$candidate" $newest; then
                command -v "$candidate"
                return
            fi
        done
    done
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || die "PYTHON=$PYTHON: there is no such program" "PYTHON=/path/to/python3.11 make setup"
        die "PYTHON=$PYTHON: it is $("$PYTHON" --version 2>&1 | head -n 1), not Python 3.10 to 3.14" "PYTHON=/path/to/python3.11 make setup"
    fi
    die "no Python 3.10 to 3.14 on PATH" "install one (Debian: apt-get install python3 python3-venv) or set PYTHON=/path/to/python3.11"
}

# Debian packages that Python wheels expect on the system and a slim image lacks.
install_system_package() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing the Debian package $1"
        apt-get install -y -q "$1" >&2 || { apt-get update -q >&2 && apt-get install -y -q "$1" >&2; }
    else
        die "the system package $1 is missing: $2" "apt-get install $1"
    fi
}

# uv has its own names of the settings by which pip finds packages.
use_settings_of_pip() {
    local settings name value
    local -A names=([index-url]=UV_DEFAULT_INDEX [extra-index-url]=UV_INDEX [find-links]=UV_FIND_LINKS
        [trusted-host]=UV_INSECURE_HOST [cert]=SSL_CERT_FILE [proxy]=ALL_PROXY)
    settings=$("$bin/python" -m pip config list)
    for name in "${!names[@]}"; do
        value=$(sed -nE "s/^(global|install|:env:)\.$name='(.*)'\$/\2/p" <<<"$settings" | tail -n 1)
        [ -z "$value" ] || export "${names[$name]}=$value"
    done
    export UV_INDEX_STRATEGY=unsafe-best-match # of all indices the newest, as pip does
}

python=$(find_python)
if [ ! -x "$venv/bin/python" ] || ! suits "$venv/bin/python"; then
    say "making $venv with $python, $("$python" --version)"
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" 2>/dev/null; then
        rm -rf "$venv"
        install_system_package python3-venv "python cannot make virtual environments"
        "$python" -m venv "$venv"
    fi
fi
bin=$venv/bin

say "installing the pinned packages of constraints.txt (about 2 GB on disk; minutes on a first run)"
install=("$bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt)
# uv takes a fifth of the time of pip, which does the same where uv cannot be had. It leaves compiling to the first import.
if "${install[@]}" uv; then
    use_settings_of_pip
    install=("$bin/uv" pip install --quiet --python "$bin/python" --constraint constraints.txt)
fi
"${install[@]}" pip setuptools wheel --editable '.[all,test]'

if ! reason=$("$bin/python" -c 'import cv2' 2>&1); then
    # opencv-python needs the desktop's libGL; the headless wheel is the same module without it.
    case $reason in
    *libGL*|*libgthread*|*libglib*)
        version=$("$bin/python" -m pip list --format=freeze | sed -n 's/^opencv-python==//p')
        say "libGL is missing: taking opencv-python-headless $version instead of opencv-python"
        "$bin/python" -m pip uninstall --quiet --yes opencv-python
        "$bin/python" -m pip install --quiet --disable-pip-version-check "opencv-python-headless==$version"
        ;;
    esac
    "$bin/python" -c 'import cv2' || die "OpenCV cannot be imported" "see the line above"
fi
if ! reason=$("$bin/python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>&1); then
    install_system_package libgomp1 "$reason"
fi
if ! "$bin/python" -c "import importlib.util as util, sys; sys.exit(not util.find_spec('paddle2onnx'))"; then
    "$bin/edgekit" toolchain install paddle >&2
fi
touch "$venv/.ready"
say "done"
