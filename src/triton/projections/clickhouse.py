"""Owns what a batch does in ClickHouse: the intent before, the insert under its token, the checkpoint after.

ClickHouse has no transactions, so a crash may repeat an insert. Its tables bear that: the same event is the
same row, and the views hold no counts. The token only saves the work of a repetition; it names the range
and its content, so other content can never be taken for a repetition.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from triton.errors import LogForkedError, UnavailableError
from triton.projections.checkpoint import Lease
from triton.projections.fold import sift
from triton.projections.parking import park
from triton.projections.rows import COLUMNS, Poison, Reading
from triton.projections.statements import sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: Sent with every insert, because defaults differ between versions; those that a server does not know are
#: left out.
SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 1_000_000,
    "date_time_input_format": "basic",
}


class ClickHouseBatch(msgspec.Struct, frozen=True):
    """Rows, and their lines. `digest` tells other lines for the same positions apart."""

    rows: Sequence[Reading]
    #: How many jobs were parked when this was prepared.
    jobs_parked: int
    parked: Sequence[Poison]
    count: int
    lines: bytes
    digest: str


class ClickHouseProjection:
    """Fills `job_events`; the views follow from it. Uses a client of its own, in a thread."""

    name = "clickhouse"
    pause = 1.0
    #: ClickHouse makes a part of every insert, so it wants few and large ones.
    batch = 10_000

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None
        self._settings: dict[str, Any] = {}
        self._parked: set[str] = set()
        self._begun: tuple[int, int, str] | None = None

    async def open(self, lease: Lease) -> int | None:
        await asyncio.to_thread(self._connect)
        self._parked = await lease.parked_jobs()
        cursor = await lease.connection.execute(
            "SELECT first_position, last_position, digest FROM insert_intents"
            " WHERE projector = %s AND partition = %s",
            (lease.projector, lease.partition),
        )
        self._begun = await cursor.fetchone()
        return self._begun[1] if self._begun else None

    async def prepare(self, rows: Sequence[Reading]) -> ClickHouseBatch:
        sifted = sift(rows, self._parked)
        lines = b"".join([row.line for row in sifted.applied])
        await asyncio.sleep(0)
        return ClickHouseBatch(
            rows=rows,
            jobs_parked=len(self._parked),
            parked=sifted.parked,
            count=len(sifted.applied),
            lines=lines,
            digest=hashlib.sha256(lines).hexdigest()[:16],
        )

    async def apply(
        self, lease: Lease, batch: ClickHouseBatch, sent: asyncio.Event | None = None
    ) -> None:
        if sent is not None:
            sent.set()
        rows = batch.rows
        if batch.jobs_parked != len(self._parked):
            batch = await self.prepare(rows)
        first, last = rows[0].entry.position, rows[-1].entry
        token = f"{lease.checkpoint.epoch}:{lease.partition}:{first}-{last.position}:{batch.digest}"
        if self._begun is not None:
            self._check_begun(lease, first, last.position, last.digest())
        async with lease.connection.transaction():
            await lease.renew()
            await lease.connection.execute(
                sql("intend"),
                {
                    "projector": lease.projector,
                    "partition": lease.partition,
                    "epoch": lease.checkpoint.epoch,
                    "first": first,
                    "last": last.position,
                    "rows": batch.count,
                    "digest": last.digest(),
                    "token": token,
                },
            )
        if batch.lines:
            await asyncio.to_thread(self._insert, batch.lines, token)
        async with lease.connection.transaction():
            to = await lease.move(last)
            await park(lease, batch.parked)
            await lease.connection.execute(
                "DELETE FROM insert_intents WHERE projector = %s AND partition = %s",
                (lease.projector, lease.partition),
            )
        lease.checkpoint = to
        self._begun = None
        self._parked.update(poison.job for poison in batch.parked)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

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
            raise UnavailableError(
                f"ClickHouse does not answer: {error}; is it running?"
            ) from error
        names = {name for (name,) in known.result_rows}
        self._settings = {name: value for name, value in SETTINGS.items() if name in names}

    def _insert(self, lines: bytes, token: str) -> None:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        assert self._client is not None
        try:
            self._client.raw_insert(
                "job_events",
                column_names=COLUMNS,
                insert_block=lines,
                fmt="TabSeparated",
                settings={**self._settings, "insert_deduplication_token": token},
            )
        except ClickHouseError as error:
            raise UnavailableError(f"ClickHouse did not take the batch {token}: {error}") from error
