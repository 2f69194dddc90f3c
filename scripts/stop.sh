#!/usr/bin/env bash
# Stops Triton; nothing is lost. Jobs that run get their time to end, and go back to their queues else.
#
#   scripts/stop.sh              what scripts/start.sh, or `triton up`, runs on TRITON_DATA (.triton)
#   scripts/stop.sh --compose    the containers; their volumes stay
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

stop_compose() {
    compose --profile observability --profile outbox down
}

stop_embedded() {
    local pid
    pid=$(stack_pid)
    if [ -z "$pid" ]; then
        say "nothing runs on $data"
        return
    fi
    kill -TERM "$pid"
    for _ in $(seq 150); do
        if ! kill -0 "$pid" 2>/dev/null; then
            say "stopped"
            return
        fi
        sleep 0.2
    done
    fail "pid $pid is still there after 30 seconds; see $data/logs"
}

case ${1-} in
    "") stop_embedded ;;
    --compose) stop_compose ;;
    *) fail "unknown option $1: expected --compose" ;;
esac
