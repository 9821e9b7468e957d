#!/bin/sh
# Makes a base image from Debian's packages, for where no image registry can be reached:
# bootstrap-base.sh ENGINE IMAGE
#
# Needs root and debootstrap.
set -eu
engine=$1
image=$2
if "$engine" image inspect "$image" >/dev/null 2>&1; then
    exit
fi
echo "No image registry in reach: making $image from Debian's packages (once, two minutes)"
if ! command -v debootstrap >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "This needs root and debootstrap: apt-get install debootstrap" >&2
    exit 1
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder" "$folder.log"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | head -n 1)
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
    trixie "$folder" ${mirror:+"$mirror"} >"$folder.log" || {
    tail -n 5 "$folder.log" >&2
    exit 1
}
tar --directory "$folder" --exclude './var/cache/apt/*' --exclude './var/lib/apt/lists/*' \
    --create . | "$engine" import - "$image" >/dev/null
