"""The archiver as a process runs it: for every partition, beside a standby, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
from archiving import records_in, signer_of, trees_in, with_archive
from log_writer import LogWriter
from projecting import acquired, opened, run

from triton.archive import Stored, open_archive
from triton.archive.file import FileArchive
from triton.archive.store import Data
from triton.archiving.running import run_archiver
from triton.errors import ConfigurationError
from triton.evidence.archiver import Archiver
from triton.evidence.ledger import ARCHIVER
from triton.settings import Settings


@pytest.fixture
def archived(settings: Settings, tmp_path: Path) -> Settings:
    # The key of the data folder signs, as `triton up` has it.
    return with_archive(settings, tmp_path, head_ms=200, signing_key="")


@contextlib.asynccontextmanager
async def archiver(settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_archiver(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def signed(postgres: psycopg.Connection) -> int:
    row = postgres.execute("SELECT coalesce(max(size), -1) FROM tree_heads").fetchone()
    return int(row[0]) if row else -1


def sealed(postgres: psycopg.Connection) -> int:
    row = postgres.execute(
        "SELECT coalesce(max(last_position), 0) FROM segments WHERE state = 'sealed'"
    ).fetchone()
    return int(row[0]) if row else 0


def owners(postgres: psycopg.Connection) -> set[str]:
    rows = postgres.execute("SELECT owner FROM checkpoints WHERE projector = 'archiver'")
    return {owner for (owner,) in rows}


def test_fresh_events_are_signed_and_sealed_and_the_last_ones_at_the_stop(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    async def scene() -> None:
        async with archiver(archived):
            await until(lambda: signed(postgres) == 0)
            await asyncio.to_thread(writer.history, 1, 20)
            await until(lambda: signed(postgres) == writer.position)
            await until(lambda: sealed(postgres) == writer.position)
            await asyncio.to_thread(writer.submit)
        assert signed(postgres) == writer.position

    run(scene())
    archive = open_archive(archived.archive_url)
    (tree,) = trees_in(archive)
    assert len(records_in(archive, tree)) >= 20
    raw = archive.read(f"{tree.prefix}checkpoint")
    assert raw.split(b"\n")[1] == b"%d" % writer.position


def test_a_standby_goes_on_where_the_first_one_was(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    async def scene() -> None:
        async with contextlib.AsyncExitStack() as stack:
            first = await stack.enter_async_context(contextlib.AsyncExitStack())
            await first.enter_async_context(archiver(archived))
            await until(lambda: signed(postgres) == 0)
            (was,) = owners(postgres)
            await stack.enter_async_context(archiver(archived))
            await asyncio.to_thread(writer.history, 1, 12)
            await until(lambda: signed(postgres) == writer.position)
            assert owners(postgres) == {was}
            await first.aclose()
            await asyncio.to_thread(writer.history, 2, 24)
            await until(lambda: signed(postgres) == writer.position)
            assert owners(postgres) != {was}

    run(scene())


def test_another_key_may_not_sign_unannounced(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with archiver(archived):
            await until(lambda: signed(postgres) == 0)
        (tmp_path / "signing-key.pem").unlink()
        await run_archiver(archived, asyncio.Event())

    with pytest.raises(ConfigurationError, match="rotate-key"):
        run(scene())


class Stuck(FileArchive):
    """A store whose puts of segments do not end until they are let go."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reached = threading.Event()
        self.go = threading.Event()

    def put_new(self, key: str, data: Data, *, max_bytes: int | None = None) -> Stored:
        if "/segments/" in key:
            self.reached.set()
            self.go.wait(60)
        return super().put_new(key, data, max_bytes=max_bytes)


def test_heads_are_signed_while_the_store_is_slow_and_nothing_is_trimmed(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection, tmp_path: Path
) -> None:
    store = Stuck(tmp_path / "archive")

    async def scene() -> None:
        stop = asyncio.Event()
        async with opened(archived) as (log, connection):
            lease = await acquired(log, connection, ARCHIVER)
            signer = signer_of(archived)
            made = Archiver(log, store, lease, signer, archived, projectors=())
            task = asyncio.create_task(made.run(stop))
            await asyncio.to_thread(writer.history, 1, 12)
            assert await asyncio.to_thread(store.reached.wait, 60)
            await asyncio.to_thread(writer.history, 2, 30)
            await until(lambda: signed(postgres) == writer.position)
            assert sealed(postgres) == 0
            assert int(writer.client.xlen(writer.stream)) == writer.position
            store.go.set()
            await until(lambda: sealed(postgres) == writer.position)
            stop.set()
            await task

    run(scene())
