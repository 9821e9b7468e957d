#!/bin/sh
# Resolves the dependencies anew: lock.sh UV
#
# tfx-*-dev.txt is what the tests run on; tfx-*.txt, a part of it, is what the image holds.
set -eu
uv=$(realpath "$1")
cd "$(dirname "$0")/requirements"

lock() {
    output=$1
    shift
    "$uv" pip compile --quiet --upgrade --python-version 3.10 --generate-hashes \
        --no-header --no-annotate --output-file "$output" "$@"
}

lock_tfx() {
    version=$1
    shift
    set -- ../../pyproject.toml "tfx-$version.in" --extra kfp --override overrides.txt \
        --prerelease if-necessary "$@"
    lock "tfx-$version-dev.txt" "$@" --group ../../pyproject.toml:dev
    lock "tfx-$version.txt" "$@" --constraint "tfx-$version-dev.txt"
}

lock_tfx 1.16
lock_tfx 1.21 --universal
lock kfp-local.txt kfp-local.in --universal
lock uv.txt uv.in --universal
