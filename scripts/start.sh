#!/usr/bin/env bash
# Starts Triton and waits until it is ready: on this machine by `triton up`, or in containers.
#
#   scripts/start.sh                     the embedded stack, in the background, below TRITON_DATA (.triton)
#   scripts/start.sh --compose           in containers; makes .env with random secrets where there is none
#   scripts/start.sh --compose --dev     the same with your source, begun again when it changes
#   scripts/start.sh --compose --prod    the same for a server
#   scripts/start.sh --compose --observability    with Prometheus and Grafana
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

where=embedded
profiles=()
build=(--build)
for word in "$@"; do
    case $word in
        --compose) where=compose ;;
        --dev) files=(-f compose.dev.yaml) ;;
        --prod) files=(-f compose.prod.yaml) build=(--no-build) ;;
        --observability) profiles=(--profile observability) ;;
        *) fail "unknown option $word: expected --compose, --dev, --prod or --observability" ;;
    esac
done

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

make_env() {
    umask 077
    while IFS= read -r line; do
        case $line in
            [A-Z]*=) say "$line$(random)" ;;
            *) say "$line" ;;
        esac
    done <"$root/.env.example" >"$root/.env.new"
    mv "$root/.env.new" "$root/.env"
    say "made .env with random secrets; TRITON_ADMIN_PASSWORD is the admin's password"
}

start_compose() {
    [ -e "$root/.env" ] || make_env
    compose "${profiles[@]}" up --detach --wait "${build[@]}"
    say "Triton runs; look at it with scripts/check-infrastructure.sh --compose"
}

start_embedded() {
    local log pid
    pid=$(stack_pid)
    if [ -n "$pid" ]; then
        say "Triton runs already on $data, as pid $pid"
        return
    fi
    (umask 077 && mkdir -p "$data/logs")
    log=$data/logs/up.log
    setsid "$triton" up --data "$data" >"$log" 2>&1 </dev/null &
    pid=$!
    for _ in $(seq 600); do
        if [ -n "$(grep -m 1 'ctrl-C ends it' "$log" || true)" ]; then
            cat "$log"
            return
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
    done
    cat "$log" >&2
    fail "it did not start; see above and $data/logs"
}

"start_$where"
