#!/bin/sh
# Back the whole platform up while it runs: scripts/backup.sh FOLDER [options of `triton backup create`].
# FOLDER/TIME is made, and scripts/restore.sh takes it. Set TRITON_DATA, or the TRITON_*_URL of your own engines.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 FOLDER [options]" >&2; exit 2; }
folder=$1
shift
triton=$(dirname "$0")/../.venv/bin/triton
[ -x "$triton" ] || triton=triton
target=$folder/$(date -u +%Y-%m-%dT%H-%M-%SZ)
"$triton" backup create "$target" "$@"
"$triton" backup check "$target"
