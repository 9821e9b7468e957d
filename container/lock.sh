#!/bin/sh
# Resolves the dependencies anew for both TFX versions: lock.sh UV
#
# tfx-*-dev.txt is what the tests run on; tfx-*.txt, a part of it, is what the image holds.
set -eu
uv=$(realpath "$1")
cd "$(dirname "$0")/requirements"

lock() {
    version=$1
    shift
    compile="$uv pip compile --quiet --upgrade ../../pyproject.toml tfx-$version.in \
        --extra kfp --override overrides.txt --python-version 3.10 --prerelease if-necessary \
        --generate-hashes --no-header --no-annotate $*"
    $compile --group ../../pyproject.toml:dev --output-file "tfx-$version-dev.txt"
    $compile --constraint "tfx-$version-dev.txt" --output-file "tfx-$version.txt"
}

lock 1.16
lock 1.21 --universal
