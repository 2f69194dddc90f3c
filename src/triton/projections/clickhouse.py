"""Owns what a batch does in ClickHouse: the intent before, the insert, the checkpoint after.

ClickHouse has no transactions, so a crash may repeat an insert. Its tables bear that: the same event is the
same row, and the views hold no counts. It must not know a repetition by itself: it writes down what it has
taken before the rows are in the table, and a kill between the two would make it drop them for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from triton.checkpoints.lease import Lease
from triton.errors import LogForkedError, UnavailableError, no_answer
from triton.events.entries import Entry
from triton.observe.slow import calls
from triton.projections.fold import Sifter
from triton.projections.native import Blocks, Texts
from triton.projections.parking import park, parked_jobs
from triton.projections.rows import COLUMNS, Piece, Poison
from triton.projections.statements import sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: The table of all events.
EVENTS: Final = "job_events"
#: Sent with every insert, because defaults differ between versions; those that a server does not know are
#: left out.
SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,
    "insert_deduplicate": 0,
    "deduplicate_insert": "disable",
    "input_format_native_allow_types_conversion": 1,
    "max_insert_block_size": 1_000_000,
}

#: Bytes of data in one insert, unless one event alone has more. What is read next is no larger, but as JSON
#: it may be; and what was begun before an upgrade has whatever size it had then.
INSERT_BYTES: Final = 32 * 1024 * 1024


class ClickHouseBatch(msgspec.Struct, frozen=True):
    """A range of the log, and the blocks that it becomes: one insert each."""

    first: int
    last: Entry
    parked: Sequence[Poison]
    count: int
    bodies: Sequence[bytes]


class ClickHouseProjection:
    """Fills `job_events`; the views follow from it. Uses a client of its own, in a thread."""

    name = "clickhouse"
    pause = 1.0
    #: ClickHouse makes a part of every insert, so it wants few and large ones.
    batch = 50_000

    #: JSON as it is.
    form = staticmethod(bytes)

    def __init__(self, url: str, table: str = EVENTS) -> None:
        """`table` is another one of the same shape for a shadow."""
        self._url = url
        self._table = table
        self._client: Client | None = None
        self._settings: dict[str, Any] = {}
        self._texts = Texts()
        self._parked: set[str] = set()
        self._begun: tuple[int, int, str] | None = None

    async def open(self, lease: Lease) -> int | None:
        await asyncio.to_thread(self._connect)
        self._parked = await parked_jobs(lease)
        cursor = await lease.connection.execute(
            "SELECT first_position, last_position, digest FROM insert_intents"
            " WHERE projector = %s AND partition = %s",
            (lease.projector, lease.partition),
        )
        self._begun = await cursor.fetchone()
        return self._begun[1] if self._begun else None

    async def prepare(self, pieces: AsyncIterable[Piece]) -> ClickHouseBatch:
        sifter = Sifter(self._parked)
        blocks = Blocks(self._texts, INSERT_BYTES)
        first = 0
        last: Entry | None = None
        async for piece in pieces:
            # The rows themselves are let go at once: so all that is worked on fits into the cache.
            rows = sifter.sift(piece)
            first = first or piece.first
            last = piece.last
            if rows is not None:
                blocks.add(rows)
            await asyncio.sleep(0)
        assert last is not None, "a batch of nothing"
        # What is parked is known already: a batch that fails ends this projection.
        self._parked.update(poison.job for poison in sifter.parked)
        return ClickHouseBatch(
            first=first, last=last, parked=sifter.parked, count=blocks.size, bodies=blocks.bodies()
        )

    async def apply(self, lease: Lease, batch: ClickHouseBatch) -> None:
        first, last = batch.first, batch.last
        if self._begun is not None:
            self._check_begun(lease, first, last.position, last.digest())
        to = lease.checkpoint_at(last)
        await lease.fenced(
            sql("intend"),
            {
                "epoch": to.epoch,
                "first": first,
                "last": to.position,
                "rows": batch.count,
                "digest": to.digest,
            },
        )
        for body in batch.bodies:
            await self._inserted(lease, batch, body)
        if batch.parked:
            async with lease.connection.transaction():
                await lease.fenced(sql("landed"), {"to": to.position, "digest": to.digest})
                await park(lease, batch.parked)
        else:
            await lease.fenced(sql("landed"), {"to": to.position, "digest": to.digest})
        lease.checkpoint = to
        self._begun = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _inserted(self, lease: Lease, batch: ClickHouseBatch, body: bytes) -> None:
        """However long it takes, the lease is kept. Raises FencedError, UnavailableError."""
        inserting = asyncio.ensure_future(
            asyncio.to_thread(self._insert, lease.partition, batch, body)
        )
        while not (await asyncio.wait({inserting}, timeout=lease.seconds / 3))[0]:
            await lease.renew()
        inserting.result()

    def _check_begun(self, lease: Lease, first: int, last: int, digest: str) -> None:
        if self._begun != (first, last, digest):
            raise LogForkedError(
                f"positions {first} to {last} of partition {lease.partition} were inserted into ClickHouse "
                f"before as {self._begun}, but the log holds something else there now ({digest})",
                partition=lease.partition,
                position=last,
            )

    def _connect(self) -> None:
        import clickhouse_connect
        from clickhouse_connect.driver.exceptions import ClickHouseError

        self.close()
        try:
            # No session: a client that is abandoned in a thread must not block its successor.
            self._client = clickhouse_connect.get_client(
                dsn=self._url, autogenerate_session_id=False, query_retries=0
            )
            known = self._client.query(
                "SELECT name FROM system.settings WHERE name IN {names:Array(String)}",
                parameters={"names": list(SETTINGS)},
            )
        except ClickHouseError as error:
            raise UnavailableError(no_answer("ClickHouse", error)) from error
        names = {name for (name,) in known.result_rows}
        self._settings = {name: value for name, value in SETTINGS.items() if name in names}

    def _insert(self, partition: int, batch: ClickHouseBatch, body: bytes) -> None:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        assert self._client is not None
        begun = time.perf_counter()
        try:
            self._client.raw_insert(
                self._table,
                column_names=COLUMNS,
                insert_block=body,
                fmt="Native",
                settings=self._settings,
            )
        except ClickHouseError as error:
            raise UnavailableError(
                f"ClickHouse did not take positions {batch.first} to {batch.last.position} of partition "
                f"{partition}: {error}"
            ) from error
        finally:
            calls.since(begun, "clickhouse", f"INSERT INTO {self._table}", bytes=len(body))
