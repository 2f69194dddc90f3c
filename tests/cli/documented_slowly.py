"""The documents' commands that start engines, take long, or lose something: `make docs-commands`.

Each page is one script of bash in a folder of its own, on a stack of its own where it needs one. What runs
until ctrl-C is run until it is seen to work; who would be asked says yes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_blocks import DOCS, ROOT, actors, files, plain
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
# What it would do is enough: the targets are run by themselves.
make() { command make --dry-run --directory "$CHECKOUT" "$@" > /dev/null; }
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
    "watch.md": Reader('triton up\ncp -r "$CHECKOUT/deploy" .', needs="promtool"),
}
PAGES = [
    page for page in (ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))) if page.name in READERS
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose path is short, that PostgreSQL may enter where it runs as nobody."""
    made = Path(tempfile.mkdtemp(prefix="triton-walk-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_can_be_followed(page: Path, place: Path) -> None:
    reader = READERS[page.name]
    if shutil.which(reader.needs) is None:
        pytest.skip(f"needs {reader.needs}")
    shutil.copy(ROOT / "README.md", place)
    (place / ".venv").symlink_to(sys.prefix)
    for name, text in {**actors(), **files(page)}.items():
        (place / name).write_text(text)
    env = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
    env |= {"CHECKOUT": str(ROOT), "TRITON_PORT": "0", "PYTHONPATH": str(ROOT / "src")}
    env["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), env["PATH"]))
    said = place / ".said"
    with said.open("wb") as output:
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", HANDS + reader.script(plain(page))],
            cwd=place,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=590,
            check=False,
        )
    assert done.returncode == 0, said.read_text(errors="replace")
