#!/bin/sh
# Restore a backup into an empty data folder, or into your own empty engines:
# scripts/restore.sh BACKUP --reason TEXT [options of `triton backup restore`], with TRITON_DATA or the TRITON_*_URL.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 BACKUP --reason TEXT [options]" >&2; exit 2; }
triton=$(dirname "$0")/../.venv/bin/triton
[ -x "$triton" ] || triton=triton
exec "$triton" backup restore "$@"
