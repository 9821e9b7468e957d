#!/bin/sh
# Prints which container engine works on this machine: docker or podman.
set -eu

for engine in docker podman; do
    if "$engine" info >/dev/null 2>&1; then
        echo "$engine"
        exit
    fi
done
echo "No container engine found: install podman, or start Docker." >&2
exit 1
