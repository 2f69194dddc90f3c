#!/usr/bin/env bash
# Looks at every engine, the archive, the settings and the API. Ends with 1 where something must be done.
#
#   scripts/check-infrastructure.sh              of the stack on TRITON_DATA (.triton), or of the TRITON_*_URL
#   scripts/check-infrastructure.sh --compose    of the containers
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

case ${1-} in
    "")
        need_triton
        if [ -e "$data/stack.json" ]; then
            "$triton" doctor --data "$data"
        else
            "$triton" doctor
        fi
        ;;
    --compose)
        compose ps
        compose exec --no-TTY api triton doctor
        ;;
    *) fail "unknown option $1: expected --compose" ;;
esac
