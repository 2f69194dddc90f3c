#!/usr/bin/env bash
# Stops Triton and removes all of its data: log, projections, archive, keys. It asks first; there is no way back.
#
#   scripts/reset.sh [--yes]              the data folder, TRITON_DATA (.triton)
#   scripts/reset.sh --compose [--yes]    the volumes of the containers
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

where=embedded
sure=no
for word in "$@"; do
    case $word in
        --compose) where=compose ;;
        --yes) sure=yes ;;
        *) fail "unknown option $word: expected --compose or --yes" ;;
    esac
done

confirm() {
    [ "$sure" = yes ] && return
    [ -t 0 ] || fail "this removes $1: say --yes where nobody can be asked"
    local answer
    printf 'This removes %s, and nothing brings it back.\nType yes to go on: ' "$1"
    read -r answer
    [ "$answer" = yes ] || fail "nothing was removed"
}

reset_compose() {
    confirm "the volumes of the compose project triton"
    compose --profile observability --profile outbox down --volumes
}

reset_embedded() {
    if [ ! -e "$data" ]; then
        say "there is no $data"
        return
    fi
    # What `triton up` lays out, and nobody else.
    [ -f "$data/lock" ] && [ -d "$data/logs" ] || fail "$data is no data folder of Triton: nothing was removed"
    confirm "$data"
    "$root/scripts/stop.sh"
    rm -rf -- "$data"
    say "removed $data"
}

"reset_$where"
