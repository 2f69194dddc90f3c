"""Owns reading the log: ranges, one job's history, a tail that blocks, and the three alarms.

Positions are dense, so a reader at position n must see n+1 next: a hole stops it (HoleError), as does an
entry the scripts did not write (ForeignEntryError). Before it resumes, a reader compares the entry at its
checkpoint with what it read there (LogForkedError).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple, cast

import redis.asyncio
from redis.exceptions import RedisError

from triton import keys
from triton.errors import ConfigurationError, HoleError, LogForkedError, UnavailableError, no_answer
from triton.events.client import send_async
from triton.events.cluster import at_home, home_of
from triton.events.codec import decode_entry, position_of
from triton.events.entries import Entry, Page, Raw, dense, page_of, value_in
from triton.events.envelope import AT, JOB, TYPE, Event
from triton.events.scripts import Scripts

__all__ = ["Checkpoint", "Entry", "Log", "checked_epochs"]

#: Entries in one read of who looks for something backwards.
_BACKWARDS: Final = 500


class Checkpoint(NamedTuple):
    """How far a reader is, and the digest of the entry there (empty at position 0)."""

    epoch: str
    position: int
    digest: str


class Log:
    """The log of one namespace, for readers. One per process; safe for concurrent tasks."""

    def __init__(self, client: redis.asyncio.Redis, namespace: str, epochs: Sequence[str]) -> None:
        self.client = client
        self.namespace = namespace
        self.epochs = tuple(epochs)
        self.partitions = len(self.epochs)

    @classmethod
    async def open(
        cls,
        client: redis.asyncio.Redis,
        scripts: Scripts,
        namespace: str,
        partitions: int,
        epoch: str,
    ) -> Log:
        """Open the log, creating what is missing of it with `epoch`.

        Raises ConfigurationError if it was created with another number of partitions,
        UnavailableError if Redis does not answer.
        """
        epochs: list[str] = []
        try:
            for partition in range(partitions):
                call = scripts.open(keys.prefix(namespace, partition), epoch, partitions)
                # Checked before the next is created: a wrong setting must leave nothing behind.
                replies = await send_async(client, [call])
                epochs += checked_epochs(namespace, partitions, replies)
        except RedisError as error:
            raise UnavailableError(no_answer("Redis", error)) from error
        return cls(client, namespace, epochs)

    async def refresh(self) -> None:
        """Read the epochs again: a forked log may have been adopted meanwhile."""
        epochs = []
        for partition in range(self.partitions):
            epoch: Any = await self.client.hget(keys.meta(self.prefix(partition)), "epoch")
            epochs.append((epoch or b"").decode())
        self.epochs = tuple(epochs)

    def prefix(self, partition: int) -> str:
        return keys.prefix(self.namespace, partition)

    def home(self, partition: int) -> str:
        """The node of a cluster that is asked for a partition, as far as the client knows; empty for none,
        and for one server."""
        return home_of(self.client, keys.log(self.prefix(partition)))

    async def length(self, partition: int) -> int:
        """Entries of the partition that are in Redis."""
        return int(await self.client.xlen(keys.log(self.prefix(partition))))

    async def position(self, partition: int) -> int:
        """The last position that was issued; 0 for an empty log."""
        return int(await self.client.hget(keys.meta(self.prefix(partition)), "pos") or 0)

    async def first_position(self, partition: int) -> int:
        """The oldest position still in Redis; 0 when there is none."""
        entries = await self._xrange(partition, "-", "+", 1)
        return position_of(entries[0][0]) if entries else 0

    async def range(
        self, partition: int, after: int, *, until: int | None = None, count: int = 1000
    ) -> list[Entry]:
        """Up to `count` entries at positions after+1, after+2, ... (at most `until`), without a hole.

        Raises HoleError where a position is missing, also when it was trimmed; ForeignEntryError.
        """
        return dense(partition, after, await self._after(partition, after, until, count))

    async def page(
        self, partition: int, after: int, *, until: int | None = None, count: int = 1000
    ) -> Page | None:
        """The same as a page; None for no entries."""
        raw = await self._after(partition, after, until, count)
        return page_of(partition, after, raw) if raw else None

    async def entry(self, partition: int, position: int) -> Entry | None:
        """The entry at a position, or None when it is not in Redis (any more, or yet)."""
        raw = await self._xrange(partition, f"{position}-0", f"{position}-0", 1)
        return Entry(partition, position, raw[0][1]) if raw else None

    async def wait(
        self, partition: int, after: int, *, block_ms: int, count: int = 1000
    ) -> list[Entry]:
        """As `range`, but waits up to block_ms for the first entry. Holds a connection meanwhile.

        block_ms must stay below the client's socket timeout.
        """
        return dense(partition, after, await self._xread(partition, after, block_ms, count))

    async def wait_page(
        self, partition: int, after: int, *, block_ms: int, count: int = 1000
    ) -> Page | None:
        """The same as a page; None for no entries."""
        raw = await self._xread(partition, after, block_ms, count)
        return page_of(partition, after, raw) if raw else None

    async def history(self, job: str, *, page: int = 1000) -> AsyncIterator[Event]:
        """The events of one job in the log, oldest first.

        Reads from its first position still known; a job's index is a projection's business.
        """
        partition = keys.partition_of(job, self.partitions)
        wanted = job.encode()
        after = max(0, await self.first_position(partition) - 1)
        while entries := await self.range(partition, after, count=page):
            for entry in entries:
                if entry.value(JOB) == wanted:
                    yield entry.event()
            after = entries[-1].position

    async def submission(self, job: str, before: int, *, since: int, most: int) -> Event | None:
        """The job's newest `job.submitted` up to position `before`, or None.

        Looks backwards through `most` entries, and through none that was written before `since`
        (microseconds since 1970), when the job was submitted.
        """
        partition = keys.partition_of(job, self.partitions)
        wanted = job.encode()
        last, stop = before, max(0, before - most)
        while last > stop:
            first = max(stop, last - _BACKWARDS) + 1
            raw = await self._xrange(partition, f"{first}-0", f"{last}-0", _BACKWARDS)
            for entry_id, fields in reversed(raw):
                if value_in(fields, JOB) == wanted and value_in(fields, TYPE) == b"job.submitted":
                    return decode_entry(partition, entry_id, fields)
            if not raw or int(value_in(raw[0][1], AT)) < since:
                return None
            last = first - 1
        return None

    async def checkpoint(self, partition: int, position: int) -> Checkpoint:
        """The checkpoint of a reader that has read up to `position`."""
        entry = await self.entry(partition, position) if position else None
        return Checkpoint(self.epochs[partition], position, entry.digest() if entry else "")

    async def forked(self, partition: int, checkpoint: Checkpoint) -> str:
        """Why the log is not the one that was read up to the checkpoint; empty where it is, and where that
        part has left Redis."""
        try:
            await self.validate(partition, checkpoint)
        except LogForkedError as error:
            return error.message
        except HoleError:
            return ""
        return ""

    async def validate(self, partition: int, checkpoint: Checkpoint) -> None:
        """Make sure that the log still holds what was read up to the checkpoint.

        Raises LogForkedError when it holds something else there, or ends before it; HoleError when the
        entry was trimmed together with later ones that are still to be read.
        """
        position = checkpoint.position
        if checkpoint.epoch != self.epochs[partition]:
            raise LogForkedError(
                f"partition {partition} has epoch {self.epochs[partition]}, the checkpoint is from "
                f"{checkpoint.epoch}: this is another log",
                partition=partition,
                position=position,
            )
        if position == 0:
            return
        entry = await self.entry(partition, position)
        if entry is not None:
            if entry.digest() != checkpoint.digest:
                raise LogForkedError(
                    f"the entry at {position} of partition {partition} is not the one that was read "
                    f"there (digest {entry.digest()}, expected {checkpoint.digest})",
                    partition=partition,
                    position=position,
                )
            return
        last = await self.position(partition)
        if last < position:
            raise LogForkedError(
                f"partition {partition} ends at {last}, but {position} was read from it before: "
                "its tail was lost",
                partition=partition,
                position=position,
            )
        first = await self.first_position(partition) or last + 1
        if first > position + 1:
            raise HoleError(
                f"positions {position + 1} to {first - 1} of partition {partition} were trimmed "
                "before they were read",
                partition=partition,
                position=position + 1,
            )

    async def _after(self, partition: int, after: int, until: int | None, count: int) -> Raw:
        last = "+" if until is None else f"{until}-0"
        # After `after`, not from after+1 on: `<after>-1` is no position, and must be noticed.
        return await self._xrange(partition, f"({after}-0", last, count)

    async def _xread(self, partition: int, after: int, block_ms: int, count: int) -> Raw:
        key = keys.log(self.prefix(partition))
        words = ("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", key, f"{after}-0")
        reply: Any = await self.client.execute_command(*words, **at_home(self.client, key))
        return cast("Raw", reply[0][1] if reply else [])

    async def _xrange(self, partition: int, first: str, last: str, count: int) -> Raw:
        reply: Any = await self.client.execute_command(
            "XRANGE", keys.log(self.prefix(partition)), first, last, "COUNT", count
        )
        return cast("Raw", reply)


def checked_epochs(namespace: str, partitions: int, replies: Sequence[Any]) -> list[str]:
    """The epoch of each partition from the open script's replies. Raises ConfigurationError."""
    epochs = []
    for partition, (epoch, found, _, layout) in enumerate(replies):
        if (layout := int(layout or 1)) == 0:
            raise UnavailableError(
                f"the log {namespace!r} is being restored: wait until `triton restore` ends, or run it again "
                "if it was stopped"
            )
        if layout not in keys.LAYOUTS:
            raise ConfigurationError(
                f"the log {namespace!r} has layout {layout}, this version of Triton "
                f"knows layouts {keys.LAYOUTS[0]} to {keys.LAYOUTS[-1]}: use the version that wrote it",
                partition=partition,
            )
        if int(found) != partitions:
            raise ConfigurationError(
                f"the log {namespace!r} was created with {int(found)} partitions, but TRITON_PARTITIONS "
                f"is {partitions}: set it to {int(found)}",
                partition=partition,
            )
        epochs.append(epoch.decode())
    return epochs
