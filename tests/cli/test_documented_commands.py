"""The documents' own commands and programs, run in the order of their page on a stack that `triton up` runs.

Blocks `sh run` are run by bash as they stand, all of a page as one script. Blocks `python worker` are modules
of the stack's workers, and blocks `python file` are files beside. All others are checked word by word in
tests/docs, and run by `make docs-commands` (documented_slowly.py) where they need no container engine.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import doc_walks
import dramatiq
import httpx
import pytest
from command_line import Commands, Up, passable
from doc_blocks import DOCS, ROOT, files, plain, programs, script
from doc_readers import READERS, Reader
from doc_shell import Shell

from triton.identity import credentials
from triton.stack.folder import RunningStack
from triton.testing import jobs_in_process

#: The runbooks' first looks, and the first look of all: they change nothing, and are run together.
LOOKS = [*sorted(DOCS.glob("runbooks/*.md")), DOCS / "troubleshooting.md"]
PAGES = [page for page in (ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))) if script(page)]
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not all(map(shutil.which, ("bash", "curl", "jq"))), reason="needs bash, curl and jq"
    ),
]


@pytest.fixture(scope="module")
def place(up: Up) -> Iterator[Path]:
    """The folder of a reader who started the stack there."""
    with passable("triton-docs-") as made:
        (made / ".triton").symlink_to(up.data)
        shutil.copy(ROOT / "README.md", made)
        yield made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_blocks_run(page: Path, up: Up, place: Path) -> None:
    address = up.running().api.removeprefix("http://")
    reader = READERS.get(page.name, Reader())
    if shutil.which(reader.needs) is None:
        pytest.skip(f"needs {reader.needs}")
    block = reader.script(script(page))
    for written in ("localhost:8000", "127.0.0.1:8000"):
        block = block.replace(written, address)
    # An answer that is an error ends the script.
    Shell(place).run('curl() { command curl --fail-with-body "$@"; }\n' + block)


def test_every_first_look_can_be_had(up: Up, place: Path, commands: Commands) -> None:
    """Whoever is woken gets an answer: yes (0) or no (1), and no usage, no bug."""
    job = commands.ended("cli.count", "--args", "[2]")
    lines = {line.partition("  #")[0]: None for page in LOOKS for line in plain(page).splitlines()}
    address = up.running().api.removeprefix("http://")
    said = [line.replace("ADDRESS:8000", address).replace(" JOB", f" {job}") for line in lines]
    # An archive that holds less than was signed is `incomplete`, as here: 2.
    most = {line: 2 if line.startswith("triton audit verify") else 1 for line in said}
    script = "".join(f"{line} || [ $? -le {most[line]} ]\n" for line in said)
    Shell(place).run(f"export TRITON_API_URL={up.running().api}\n{script}")


def test_every_page_is_run_here_or_by_make_docs_commands() -> None:
    pages = [ROOT / "README.md", *DOCS.glob("**/*.md")]
    left = {page.name for page in pages if plain(page) and page not in LOOKS}
    assert left == doc_walks.READERS.keys()


@pytest.fixture
def reached(up: Up, monkeypatch: pytest.MonkeyPatch) -> RunningStack:
    """The stack, by the settings of programs that use one."""
    stack, known = up.running(), credentials.read(up.data)
    assert known is not None
    monkeypatch.setenv("TRITON_REDIS_URL", stack.redis)
    monkeypatch.setenv("TRITON_NAMESPACE", stack.namespace)
    monkeypatch.setenv("TRITON_PARTITIONS", str(stack.partitions))
    monkeypatch.setenv("TRITON_API_URL", stack.api)
    monkeypatch.setenv("TRITON_API_KEY", known.api_key)
    return stack


@pytest.mark.usefixtures("reached")
def test_programs_run() -> None:
    found = [(page, text) for page in sorted(DOCS.glob("**/*.md")) for text in programs(page)]
    assert found
    for page, text in found:
        exec(compile(text, page.name, "exec"), {"__name__": "__main__"})


async def an_order(guide: Any) -> None:
    through = httpx.ASGITransport(guide.app)
    async with (
        guide.lifespan(guide.app),
        httpx.AsyncClient(transport=through, base_url="http://shop") as shop,
    ):
        job = (await shop.post("/orders/o-17?items=2")).json()["job"]
        assert (await shop.post("/orders/o-17?items=2")).json()["job"] == job, "pressed twice"
        ended = await guide.app.state.triton.wait_for(job, timeout=60)
        assert ended.state == "completed"
        found = (await shop.get(f"/orders/jobs/{job}")).json()
        assert found["result"] == {"order": "o-17", "parcels": ["o-17/1", "o-17/2"]}
        token = (await shop.post(f"/orders/jobs/{job}/token")).json()["token"]
        assert token.startswith("trs_")
        assert (await shop.get("/orders/jobs/never-was")).status_code == 404


def test_the_fastapi_application(
    reached: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guide's program submits, follows and hands out a token; the job runs in the stack's worker."""
    for name, text in files(DOCS / "guides/fastapi.md").items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dramatiq.broker.global_broker
    try:
        import app as guide  # type: ignore[import-not-found]
        import test_orders  # type: ignore[import-not-found]

        asyncio.run(an_order(guide))
        with jobs_in_process(reached.redis) as jobs:
            test_orders.test_an_order_is_packed(jobs)
    finally:
        dramatiq.broker.global_broker = before
        for name in ("app", "orders", "test_orders"):
            sys.modules.pop(name, None)
