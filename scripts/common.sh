# shellcheck shell=bash
# What the scripts here have in common: where things are, how compose is called, how a word is asked for.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
data=${TRITON_DATA:-$root/.triton}
# Compose files besides compose.yaml, as options of docker compose.
files=()
case $data in /*) ;; *) data=$PWD/$data ;; esac

say() { printf '%s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# The command triton: of the checkout's own environment, else of the one that is active.
triton=$root/.venv/bin/triton
[ -x "$triton" ] || triton=$(command -v triton || true)
need_triton() { [ -n "$triton" ] || fail "there is no command triton: run 'make setup', or activate its environment"; }

# The process that runs the stack on $data; nothing where none does.
stack_pid() {
    need_triton
    "$(dirname "$triton")/python" - "$data" <<'PYTHON'
import sys
from pathlib import Path

from triton.stack.folder import running_stack

found = running_stack(Path(sys.argv[1]))
print(found.pid if found else "")
PYTHON
}

# docker compose with this checkout's files.
compose() {
    command -v docker >/dev/null || fail "there is no command docker: install it, or leave --compose out"
    (cd "$root" && docker compose -f compose.yaml "${files[@]}" "$@")
}
