"""An archiver that is killed at any await, or whose store fails at any call, and is started again, leaves the
log whole: in the archive or still in Redis, and no object more than one that was never hurt."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
from archiving import archive_once, archiver_on, archiving, records_in, trees_in, with_archive
from interruption import interrupted
from log_writer import LogWriter
from projecting import run

from triton.archive import ArchiveStore, Stored, open_archive
from triton.archive.file import FileArchive
from triton.archive.store import Data
from triton.errors import (
    ConflictError,
    EvidenceError,
    LogForkedError,
    NotFoundError,
    UnavailableError,
)
from triton.events.entries import dense, page_of
from triton.events.log import Log
from triton.events.types import Completed
from triton.evidence import layout, segment
from triton.postgres import Connection
from triton.settings import Settings


def archiver(settings: Settings) -> Callable[[Log, Connection], Coroutine[Any, Any, None]]:
    async def turn(log: Log, connection: Connection) -> None:
        made = await archiver_on(log, connection, settings)
        await made.turn()
        await made.follower.published()
        await made.ledger.lease.release()

    return turn


class Witness:
    """Knows what was written, whatever became of it."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._seen = 0
        self.records: list[bytes] = []

    def more(self) -> None:
        """Seven events."""
        writer = self._writer
        for _ in range(2):
            writer.submit()
        for job in writer.claim(2):
            writer.finish(job, Completed())
        writer.submit()
        self.records += self.in_redis(after=len(self.records))

    def in_redis(self, after: int = 0) -> list[bytes]:
        raw = self._writer.client.execute_command("XRANGE", self._writer.stream, f"({after}-0", "+")
        first = int(raw[0][0].split(b"-")[0]) if raw else len(self.records) + 1
        return [entry.record() for entry in dense(0, first - 1, raw)]

    def check(self, archive: ArchiveStore, postgres: psycopg.Connection) -> None:
        """Whatever left Redis, most of all since the last time, is in segments that are sealed."""
        left = len(self.records) - len(self.in_redis())
        assert self.records[left:] == self.in_redis()
        found = postgres.execute(
            "SELECT coalesce(max(last_position), 0) FROM segments WHERE state = 'sealed'"
        ).fetchone()
        assert found is not None
        assert left <= found[0]
        rows = postgres.execute(
            "SELECT key FROM segments WHERE first_position <= %s AND last_position > %s"
            " ORDER BY first_position",
            (left, self._seen),
        ).fetchall()
        assert rows or left == self._seen
        for (key,) in rows:
            assert archive.exists(key)
            assert archive.exists(layout.manifest_of(key))
        self._seen = left


@pytest.mark.parametrize(("how", "stride"), [("kill", 1), ("cancel", 4)])
def test_interrupted_at_every_await(
    settings: Settings,
    writer: LogWriter,
    tmp_path: Path,
    postgres: psycopg.Connection,
    how: Literal["kill", "cancel"],
    stride: int,
) -> None:
    archived = with_archive(settings, tmp_path, seal_events=7)
    archive, witness = open_archive(archived.archive_url), Witness(writer)
    at, cut = 0, True
    while cut:
        at += stride
        witness.more()
        cut = run(interrupted(archived, archiver(archived), at, how))
        witness.check(archive, postgres)
        run(archive_once(archived))
        # What is wrong in the archive stays so: it is read now and then, not each time from its beginning.
        if not cut or at % 16 == 0:
            (tree,) = trees_in(archive)
            assert records_in(archive, tree) == witness.records, f"after await {at}"
    assert at > 30
    nothing_more(archive, postgres, witness)


class Faulty(FileArchive):
    """A folder that fails once, at the n-th call of a kind."""

    def __init__(self, root: Path, kind: str, at: int) -> None:
        super().__init__(root)
        self._kind = kind
        self._left = at

    @property
    def hurt(self) -> bool:
        return self._left <= 0

    def put_new(self, key: str, data: Data, *, max_bytes: int | None = None) -> Stored:
        now = self._now("put cut", "put lost")
        if now == "put cut":
            with self.upload() as upload:
                upload.write(b"half of it")
                raise UnavailableError("503 Slow Down")
        stored = super().put_new(key, data, max_bytes=max_bytes)
        if now:
            raise UnavailableError("the connection broke before the answer")
        return stored

    def replace(self, key: str, data: bytes) -> None:
        if self._now("replace away"):
            raise UnavailableError("503 Slow Down")
        super().replace(key, data)

    def read(self, key: str) -> bytes:
        now = self._now("read away", "read stale", "read damaged")
        if now == "read away":
            raise UnavailableError("timed out")
        if now == "read stale":
            raise NotFoundError("404")
        data = super().read(key)
        return data[:-1] + bytes((data[-1] ^ 1,)) if now else data

    def _now(self, *kinds: str) -> str:
        if self._kind not in kinds or self._left <= 0:
            return ""
        self._left -= 1
        return "" if self._left else self._kind


@pytest.mark.parametrize(
    "kind", ["put cut", "put lost", "replace away", "read away", "read stale", "read damaged"]
)
def test_a_store_that_fails_at_every_call(
    settings: Settings, writer: LogWriter, tmp_path: Path, postgres: psycopg.Connection, kind: str
) -> None:
    archived = with_archive(settings, tmp_path, seal_events=7)
    archive, witness = open_archive(archived.archive_url), Witness(writer)
    at, hurt = 0, True
    while hurt:
        at += 1
        witness.more()
        store = Faulty(tmp_path / "archive", kind, at)

        async def once(store: ArchiveStore = store) -> None:
            async with archiving(archived, archive=store) as made:
                await made.turn()

        with contextlib.suppress(UnavailableError, NotFoundError, EvidenceError, LogForkedError):
            run(once())
        hurt = store.hurt
        witness.check(archive, postgres)
        run(archive_once(archived))
        (tree,) = trees_in(archive)
        assert records_in(archive, tree) == witness.records, f"after call {at}"
    assert at > 1
    nothing_more(archive, postgres, witness)


def test_a_key_that_holds_something_else_stops_it_before_it_trims(
    settings: Settings, writer: LogWriter, tmp_path: Path, postgres: psycopg.Connection
) -> None:
    archived = with_archive(settings, tmp_path, seal_events=7)
    archive, witness = open_archive(archived.archive_url), Witness(writer)
    witness.more()
    key = layout.segment(layout.Tree(archived.namespace, 0, writer.epoch), 1, 7)
    taken = segment.Writer(0, writer.epoch)
    entries = [
        entry._replace(fields=[*entry.fields[:-1], b"\x80"])
        for entry in dense(0, 0, writer.client.execute_command("XRANGE", writer.stream, "-", "+"))
    ]
    page = page_of(0, 0, [(b"%d-0" % entry.position, entry.fields) for entry in entries])
    taken.add(page)
    archive.put_new(key, taken.finish().data)
    with pytest.raises(ConflictError):
        run(archive_once(archived))
    witness.check(archive, postgres)
    assert len(witness.in_redis()) == 7


def test_the_same_events_packed_by_another_version_are_taken_as_they_are(
    settings: Settings, writer: LogWriter, tmp_path: Path, postgres: psycopg.Connection
) -> None:
    archived = with_archive(settings, tmp_path, seal_events=7)
    archive, witness = open_archive(archived.archive_url), Witness(writer)
    witness.more()
    key = layout.segment(layout.Tree(archived.namespace, 0, writer.epoch), 1, 7)
    raw = writer.client.execute_command("XRANGE", writer.stream, "-", "+")
    page = page_of(0, 0, raw)
    other = segment.Writer(0, writer.epoch, block_events=2, level=1)
    other.add(page)
    stored = archive.put_new(key, other.finish().data)
    run(archive_once(archived))
    (tree,) = trees_in(archive)
    assert records_in(archive, tree) == witness.records
    assert postgres.execute("SELECT sha256, state FROM segments").fetchone() == (
        stored.sha256,
        "sealed",
    )


def nothing_more(archive: ArchiveStore, postgres: psycopg.Connection, witness: Witness) -> None:
    """Every object of the archive has its row."""
    (tree,) = trees_in(archive)
    rows = postgres.execute("SELECT key, state FROM segments ORDER BY first_position").fetchall()
    there = [key for key in archive.list(layout.segments(tree)) if layout.range_of(key)]
    assert [(key, "sealed") for key in there] == rows
    tiles = [key for key in archive.list(tree.prefix) if "/tile/" in key]
    assert len(tiles) <= len(witness.records) // 256 + 1
    kept = [key for (key,) in postgres.execute("SELECT DISTINCT key FROM tree_heads WHERE stored")]
    assert sorted(kept) == list(archive.list(layout.heads_prefix(tree)))
