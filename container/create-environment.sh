#!/bin/sh
# Makes a virtual environment with the locked dependencies: create-environment.sh FOLDER
#
# TFX 1.21 where it can run (glibc 2.39 or later, Python 3.10-3.13), else TFX 1.16 (Python 3.10).
# Needs Python and pip only, with Python 3.10 a C++ compiler, too; a second run on the same locks changes nothing.
set -eu
folder=$1
requirements=$(dirname "$0")/requirements

# Prints the TFX version that a Python can have; fails where there is none.
tfx_version() {
    "$1" - 2>/dev/null <<'PYTHON'
import platform
import sys

libc, version = platform.libc_ver()
glibc = tuple(int(part) for part in version.split(".")[:2]) if libc == "glibc" else (0, 0)
python = sys.version_info[:2]
if glibc >= (2, 39) and (3, 10) <= python <= (3, 13):
    print("1.21")
elif glibc >= (2, 17) and python == (3, 10):
    print("1.16")
else:
    sys.exit(1)
PYTHON
}

# Sets `python` and `tfx`. pyenv's own folders come last: its commands answer only for the
# version that is selected.
choose_python() {
    for python in python3.13 python3.12 python3.11 python3.10 python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[0-3].*/bin/python; do
        tfx=$(tfx_version "$python") && return
    done
    echo "No supported Python found: install Python 3.10 (for TFX 1.16)," \
        "or Python 3.10-3.13 on glibc 2.39 or later, such as Debian 13 (for TFX 1.21)." >&2
    exit 1
}

choose_python
# pyfarmhash, which TFX imports, has no wheel for Python 3.10.
case $("$python" --version) in
"Python 3.10."*)
    command -v c++ >/dev/null || {
        echo "Python 3.10 needs a C++ compiler, and its headers: apt-get install g++ python3-dev" >&2
        exit 1
    }
    ;;
esac
lock=$requirements/tfx-$tfx-dev.txt
if ! cmp -s "$lock" "$folder/lock.txt"; then
    echo "Setting up TFX $tfx on $("$python" --version) in $folder (the first time, a few minutes)"
    # One of the same Python is brought up to date, which takes seconds.
    if [ ! -x "$folder/bin/uv" ] ||
        [ "$("$folder/bin/python" --version)" != "$("$python" --version)" ]; then
        # Some distributions leave out ensurepip; there, pip itself fills the environment.
        "$python" -m venv --clear "$folder" >/dev/null 2>&1 || {
            "$python" -m venv --clear --without-pip "$folder"
            "$python" -m pip --python "$folder/bin/python" install --quiet pip
        }
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
            --require-hashes --requirement "$requirements/uv.txt"
    fi
    "$folder/bin/uv" pip sync --quiet --python "$folder/bin/python" \
        --require-hashes --compile-bytecode "$lock" "$requirements/uv.txt"
    cp "$lock" "$folder/lock.txt"
fi
