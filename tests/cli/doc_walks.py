"""Owns what a reader types on the pages of `make docs-commands`: with their hands, and before a page."""

from __future__ import annotations

from doc_readers import Reader

#: What a reader does by hand: another terminal, ctrl-C, "y".
HANDS = """
set -m
up() {
    ended
    command triton up "$@" > up.log 2>&1 & UP=$!
    for _ in $(seq 600); do
        if grep -q 'Triton runs' up.log; then return 0; fi
        kill -0 $UP || break
        sleep 0.2
    done
    cat up.log; return 1
}
ended() { if [ -n "${UP:-}" ]; then kill -INT $UP; wait $UP || [ $? = 130 ]; UP=; fi; }
trap 'ended; kill $(jobs -p) 2> /dev/null || true' EXIT
# Ends by itself only where it fails.
stays() { command timeout --signal INT 20 "$@" || [ $? = 124 ]; }
triton() {
    case "$1 ${2:-}" in
        "up "*) up "${@:2}" ;;
        "relay "* | "adopt redis") stays triton "$@" ;;
        "restore --reason") command triton "$@" --yes ;;
        "projections cutover" | "projections rollback" | "projections finalize") command triton "$@" --yes ;;
        *) command triton "$@" ;;
    esac
}
dramatiq() { stays dramatiq "$@"; }
uvicorn() {
    command uvicorn "$@" > uvicorn.log 2>&1 &
    for _ in $(seq 300); do if curl -sf localhost:8090/docs > /dev/null; then return 0; fi; sleep 0.2; done
    cat uvicorn.log; return 1
}
# What most of them would do is enough: they are run by themselves.
make() {
    local line
    line=$(command make --dry-run --no-print-directory --directory "$CHECKOUT" "$@" | tail -n 1)
    case $1 in soak | bench) (cd "$CHECKOUT" && eval "$line") ;; esac
}
sudo() { if [ "$(id -u)" = 0 ]; then "$@"; fi; }
needs_engine() { echo "needs an engine: $*"; }
"""
_RUNS = """
triton up
JOB=$(triton submit documents.extract --arg document=$(triton upload README.md))
triton watch $JOB
"""
_REDIS = "TRITON_REDIS_URL=$(jq -r .redis .triton/stack.json); export TRITON_REDIS_URL"
_REDIS_ALONE = """
command triton up --workers 0 --data first > first.log 2>&1 &
for _ in $(seq 600); do if grep -q 'Triton runs' first.log; then break; fi; sleep 0.2; done
TRITON_REDIS_URL=$(jq -r .redis first/stack.json)
"""
_SHOP = """
mkdir shop && touch shop/__init__.py
printf 'import dramatiq\\n@dramatiq.actor\\ndef charge(order): return order\\n' > shop/tasks.py
printf 'import dramatiq\\n@dramatiq.actor\\ndef send(to): return to\\n' > shop/mail.py
export TRITON_MODULES=triton.handlers,shop.tasks,shop.mail
triton up
triton submit charge --arg order=1 --watch
"""
_APP = """
triton up --workers 0
printf 'import dramatiq\\nfrom triton.task_queue import open_task_queue\\n' > app.py
printf 'dramatiq.set_broker(open_task_queue().broker)\\n@dramatiq.actor\\ndef resize(x): ...\\n' >> app.py
"""
_TASKS = """
triton up --workers 0
printf 'import dramatiq\\nfrom triton import TritonBroker\\n' > actors.py
printf 'dramatiq.set_broker(TritonBroker())\\n' >> actors.py
printf '@dramatiq.actor\\ndef report(): ...\\n' >> actors.py
"""
_SEALED = """
export TRITON_SEAL_MS=1000
triton up
JOB=$(triton submit documents.extract --arg document=$(triton upload README.md))
triton watch $JOB
LATER=$(triton submit documents.extract --arg document=$JOB --delay 2h)
whole() { until triton audit verify; do sleep 1; done; triton events $LATER; }
whole
lost_redis() { ended; rm -r .triton/valkey; }
lost_all() {
    ended
    mkdir left
    mv .triton/archive .triton/signing-key.pem left
    rm -r .triton
    mv left .triton
}
"""
_RESTORE = 'triton restore --reason "lost the machine"'
READERS = {
    "README.md": Reader(),
    "quick-start.md": Reader(),
    "write-an-actor.md": Reader(),
    "fastapi.md": Reader(
        own=(
            (
                "curl -s -X POST 'localhost:8090/orders/o-17?items=3'",
                "JOB=$(curl -sf -X POST 'localhost:8090/orders/o-17?items=3' | jq -r .job)",
            ),
            ("curl -s localhost:8090/orders/jobs/JOB", "curl -sf localhost:8090/orders/jobs/$JOB"),
            (
                "curl -s -X POST localhost:8090/orders/jobs/JOB",
                "curl -sf -X POST localhost:8090/orders/jobs/$JOB",
            ),
        )
    ),
    "adopt-in-dramatiq.md": Reader(
        _REDIS_ALONE, (("redis://localhost:6379/0 triton up", '"$TRITON_REDIS_URL" triton up'),)
    ),
    "from-celery.md": Reader(f"{_TASKS}\n{_REDIS}"),
    "task-queue.md": Reader(f"{_APP}\n{_REDIS}"),
    "from-dramatiq-redis.md": Reader(
        f"triton up\n{_REDIS}", (("redis://old-host:6379/0", '"$TRITON_REDIS_URL"'),)
    ),
    "outbox.md": Reader(
        f"triton up\n{_REDIS}",
        (("postgresql://app@db/shop", "$(jq -r .database .triton/stack.json)"),),
    ),
    "try-a-new-version.md": Reader(_SHOP),
    "rebuild.md": Reader(
        _RUNS,
        (("projections finalize", "projections cutover postgres\ntriton projections finalize"),),
    ),
    "personal-data.md": Reader(
        _RUNS, (("triton audit erase 17", "triton audit erase 17 --unknown"),)
    ),
    "operations.md": Reader(_RUNS, needs="psql"),
    "claims.md": Reader("triton up", (("10000000 --members 100000", "1000 --members 100"),)),
    "back-up-and-restore.md": Reader(
        _RUNS,
        (
            ("scripts/restore.sh", "ended; TRITON_DATA=new scripts/restore.sh"),
            ("scripts/", "$CHECKOUT/scripts/"),
            ("/elsewhere", "$PWD/elsewhere"),
            (" /backups", " $PWD/backups"),
            ("/TIME", "/*"),
            ('is gone"', 'is gone" --yes'),
        ),
    ),
    "upgrade.md": Reader(_RUNS),
    "restore.md": Reader(
        _SEALED,
        (
            (f"{_RESTORE} --dry-run", f"lost_redis\n{_RESTORE} --dry-run"),
            (f"{_RESTORE}   #", f"triton up\nwhole\nlost_all\n{_RESTORE}   #"),
            ("triton audit verify", "whole"),
        ),
    ),
    "reliability.md": Reader(
        own=(
            ("make soak   ", "make soak ARGS='--seconds 5'"),
            ("--seconds 60", "--seconds 5"),
            ("--only kill-valkey", "--seconds 5 --only kill-valkey"),
        )
    ),
    "benchmarks.md": Reader(
        own=(
            # The others are its parts.
            ("make bench   ", ": make bench   "),
            ("--only jobs", "--quick --only jobs"),
            ("--jobs 5000 --repeats 5", "--only jobs --jobs 300 --repeats 1"),
        )
    ),
    "deploy-compose.md": Reader(
        engine=(
            "scripts/start.sh --compose",
            "scripts/check-infrastructure.sh --compose",
            "scripts/stop.sh --compose",
            "docker compose",
        ),
    ),
    "deploy-kubernetes.md": Reader(
        own=(
            (
                "kubectl create namespace triton-dev",
                "kubectl create namespace triton-dev --dry-run=client",
            ),
            ("scripts/kubernetes-", "$CHECKOUT/scripts/kubernetes-"),
            ("kubectl apply -k deploy", "kubectl kustomize $CHECKOUT/deploy"),
            ("--from-literal=key=THE-KEY", "--from-literal=key=THE-KEY --dry-run=client"),
        ),
        needs="kubectl",
        engine=(
            "docker build",
            "kubectl apply -f",
            "kubectl --namespace triton-dev rollout",
            "kubectl --namespace triton-dev exec",
            "kubectl --namespace triton-dev port-forward",
            "kubectl --namespace triton exec",
        ),
    ),
    "watch.md": Reader('triton up\ncp -r "$CHECKOUT/deploy" .', needs="promtool"),
}
