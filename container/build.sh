#!/bin/sh
# Builds the image from the wheel in dist/, with docker or podman: build.sh [TAG [STAGE]]
#
# BASE names another base image. Without it, where no image registry can be reached, a base is
# made from Debian's packages.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
tag=${1:-tfx-lr-finder:$version}
engine=$(container/engine.sh)

if [ -z "${BASE:-}" ]; then
    BASE=$(sed -n 's/^ARG BASE=//p' container/Containerfile)
    if ! "$engine" image inspect "$BASE" >/dev/null 2>&1 && ! "$engine" pull "$BASE"; then
        BASE=localhost/tfx-lr-finder-base
        container/bootstrap-base.sh "$engine" "$BASE"
    fi
fi

set -- --file container/Containerfile --target "${2:-runtime}" --tag "$tag" \
    --build-arg BASE="$BASE" --build-arg VERSION="$version"
# What the image was made from: the commit, and the repository where it has an address.
if revision=$(git describe --always --abbrev=40 --dirty 2>/dev/null); then
    set -- "$@" --label org.opencontainers.image.revision="$revision"
fi
# An address for ssh has its like for everybody, and credentials are nobody's business.
source=$(git remote get-url origin 2>/dev/null | sed -n \
    -e 's#^ssh://\([^/@]*@\)\{0,1\}\([^/:]*\)\(:[0-9]*\)\{0,1\}/#https://\2/#' \
    -e 's#^[^/@:]*@\([^/:]*\):#https://\1/#' \
    -e 's#^https://\([^/@]*@\)\{0,1\}#https://#p')
[ -z "$source" ] || set -- "$@" --label org.opencontainers.image.source="$source"
ca_bundle=${SSL_CERT_FILE:-${PIP_CERT:-}}
[ -z "$ca_bundle" ] || set -- "$@" --secret id=ca-bundle,src="$ca_bundle"
"$engine" build "$@" .
