"""Owns `adopt`: a log that lost its tail is taken as it is, and what was lost is named and kept.

What the stores know beyond the shared part, and the log does not, goes into `lost_events`; the jobs that they
know more of go back to where the shared part leaves them; then the partition begins a new epoch. Killed
anywhere, it is repeated from the start: nothing is lost twice.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from triton import keys
from triton.checkpoints.lease import LEASE_SECONDS, Lease
from triton.errors import ExpiredError, FencedError, HoleError
from triton.events.client import send_async
from triton.events.log import Checkpoint
from triton.events.scripts import Scripts
from triton.evidence.layout import Tree
from triton.history import History
from triton.postgres import Connection
from triton.projections.fold import JobFold
from triton.projections.fork import Fork, equal
from triton.projections.lines import escaped_json, fields_of
from triton.projections.losing import (
    LostJob,
    forget_in_clickhouse,
    held_checkpoints,
    set_aside,
    spare,
)
from triton.projections.refold import decoded, expected_event
from triton.projections.rows import RowReader, Rows
from triton.projections.statements import sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: Seconds that the projectors are given to let go of their checkpoints.
PATIENCE: Final = LEASE_SECONDS + 5.0
_PAGE: Final = 1000


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """What was declared: positions common + 1 to lost_until of the previous epoch are lost."""

    partition: int
    epoch: str
    previous_epoch: str
    common: int
    lost_until: int
    log_end: int
    jobs: list[LostJob]


async def adopt(
    log: History,
    connection: Connection,
    clickhouse: Client,
    fork: Fork,
    *,
    by: str,
    reason: str,
    patience: float = PATIENCE,
) -> Adopted:
    """Declare a new epoch for a forked partition. `connection` is in autocommit mode.

    Raises FencedError while a projector holds on to the partition, UnavailableError, HoleError where the
    log was trimmed, so that a job cannot be restored from it.
    """
    adoption = _Adoption(log, connection, clickhouse, fork)
    return await adoption.run(by, reason, patience)


class _Adoption:
    def __init__(
        self, log: History, connection: Connection, clickhouse: Client, fork: Fork
    ) -> None:
        self._log = log
        self._connection = connection
        self._clickhouse = clickhouse
        self._fork = fork
        self._at = {"partition": fork.partition, "common": fork.common}

    async def run(self, by: str, reason: str, patience: float) -> Adopted:
        fork = self._fork
        epoch = secrets.token_hex(8)
        leases = await held_checkpoints(
            self._connection, fork.partition, fork.epoch, patience, self._log
        )
        try:
            async with self._connection.transaction():
                jobs = await set_aside(
                    self._connection,
                    self._clickhouse,
                    fork.partition,
                    fork.common,
                    fork.projected_epoch,
                    self._archived(),
                )
                lost = await spare(
                    self._connection,
                    fork.partition,
                    fork.common,
                    fork.projected_epoch,
                    await self._still_there(),
                )
            await forget_in_clickhouse(
                self._clickhouse, fork.partition, fork.common, [job.job for job in jobs]
            )
            async with self._connection.transaction():
                await self._rewind(leases, epoch)
                await self._restore([job.job for job in jobs])
                await self._connection.execute(
                    sql("fork_declare"),
                    {
                        "partition": fork.partition,
                        "epoch": epoch,
                        "previous": fork.projected_epoch,
                        "common": fork.common,
                        "lost_until": fork.lost_until,
                        "log_end": fork.log_end,
                        "by": by,
                        "reason": reason,
                    },
                )
            await self._begin_epoch(epoch)
        finally:
            for lease in leases:
                await lease.release()
        return Adopted(
            partition=fork.partition,
            epoch=epoch,
            previous_epoch=fork.projected_epoch,
            common=fork.common,
            lost_until=fork.lost_until,
            log_end=fork.log_end,
            jobs=lost,
        )

    async def _archived(self) -> AsyncIterator[list[tuple[Any, ...]]]:
        """Position and EVENT_FIELDS of what is lost, as the archive has it."""
        archived, fork = self._log.past.archived, self._fork
        tree = Tree(self._log.namespace, fork.partition, fork.projected_epoch)
        after = fork.common
        while page := await archived.page(tree, after, fork.projected_end, None):
            found = [decoded(page.entry(index)) for index in range(page.size)]
            yield [
                (event.position, *expected_event(event).values())
                for event in found
                if not isinstance(event, str)
            ]
            after = page.positions[-1]

    async def _still_there(self) -> list[int]:
        """The positions of what was set aside that the log holds: a store may have read on after the log had
        lost its tail."""
        fork = self._fork
        found: list[int] = []
        after, end = fork.common, min(fork.projected_end, fork.log_end)
        while after < end:
            until = min(after + _PAGE, end)
            cursor = await self._connection.execute(
                sql("fork_kept"),
                {
                    "partition": fork.partition,
                    "epoch": fork.projected_epoch,
                    "first": after + 1,
                    "last": until,
                },
            )
            kept = {position: row for position, *row in await cursor.fetchall()}
            for entry in await self._log.range(fork.partition, after, until=until, count=_PAGE):
                row, event = kept.get(entry.position), decoded(entry)
                if row is not None and not isinstance(event, str) and equal(event, row):
                    found.append(entry.position)
            after = until
        return found

    async def _rewind(self, leases: Sequence[Lease], epoch: str) -> None:
        fork = self._fork
        at_common = await self._log.checkpoint(fork.partition, fork.common)
        for lease in leases:
            before = lease.checkpoint
            to = at_common if before.position >= fork.common else before
            checkpoint = Checkpoint(epoch, to.position, to.digest)
            cursor = await self._connection.execute(
                sql("fork_rewind"),
                {
                    "projector": lease.projector,
                    "partition": lease.partition,
                    "fence": lease.fence,
                    "epoch": epoch,
                    "to": checkpoint.position,
                    "digest": checkpoint.digest,
                },
            )
            if cursor.rowcount != 1:
                raise FencedError(
                    f"the checkpoint of {lease.projector} was taken over meanwhile: try again",
                    projector=lease.projector,
                    partition=lease.partition,
                )
        await self._connection.execute(sql("fork_forget"), self._at)

    async def _restore(self, jobs: Sequence[str]) -> None:
        """Put the jobs' rows to where the shared part of the log leaves them."""
        if not jobs:
            return
        await self._connection.execute(sql("forget"), {"jobs": list(jobs)})
        await self._connection.execute("SET LOCAL timezone TO 'UTC'")
        fold = await self._folded(set(jobs))
        for submissions, states in fold.birth_lines(self._fork.partition):
            await self._copy("copy_submissions", submissions)
            await self._copy("copy_states", states)

    async def _folded(self, wanted: set[str]) -> JobFold:
        partition, fold, reader = self._fork.partition, JobFold(), RowReader(escaped_json)
        first = await self._log.first_position(partition)
        after = await self._expired() if first > 1 else 0
        if self._fork.common and first > after + 1:
            raise HoleError(
                f"positions {after + 1} to {first - 1} of partition {partition} were trimmed: the jobs that "
                "lost events cannot be folded again from Redis",
                partition=partition,
                position=after + 1,
            )
        while after < self._fork.common:
            page = await self._log.page(partition, after, until=self._fork.common, count=_PAGE)
            assert page is not None, "the shared part of the log was trimmed meanwhile"
            for piece in reader.read(page):
                if isinstance(piece, Rows):
                    ours = piece.only([job in wanted for job in piece.jobs()])
                    if ours.size:
                        fold.take(ours, fields_of(ours))
            after = page.positions[-1]
        return fold

    async def _expired(self) -> int:
        """The last position that expired; the jobs that it was of had ended."""
        try:
            await self._log.page(self._fork.partition, 0, until=1, count=1)
        except ExpiredError as error:
            return int(error.details["until"])
        except HoleError:
            pass
        return 0

    async def _copy(self, statement: str, lines: bytes) -> None:
        async with self._connection.cursor().copy(sql(statement)) as copy:
            await copy.write(lines)

    async def _begin_epoch(self, epoch: str) -> None:
        """The last step: until then readers see an epoch that is not the log's, and stop."""
        partition = self._fork.partition
        call = Scripts().adopt(self._log.prefix(partition), self._fork.epoch, epoch)
        (answer,) = await send_async(self._log.client, [call])
        if cast("bytes", answer) == b"other":
            raise FencedError(
                f"the epoch of {keys.meta(self._log.prefix(partition))} changed meanwhile: try again",
                partition=partition,
            )
