#!/bin/sh
# Prints which container engine works on this machine: docker or podman.
set -eu

for engine in docker podman; do
    if "$engine" info >/dev/null 2>&1; then
        echo "$engine"
        exit
    fi
done
echo "No container engine works here: install podman, or start Docker." \
    "\`podman info\` and \`docker info\` tell more." >&2
exit 1
