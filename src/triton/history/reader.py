"""Owns the one reader: every past of the log, by position, by time, by job, and by what is wanted.

It stops where neither Redis nor the archive has what follows (HoleError), and where the two tell of
different logs (LogForkedError).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection

from triton import keys
from triton.errors import LogForkedError, UnavailableError
from triton.events.entries import Entry, Page, page_of
from triton.events.envelope import AT, VERSION, Event
from triton.events.types import Submitted
from triton.history.actors import Actors
from triton.history.filters import ALL, Filter, only
from triton.history.of_job import job_page
from triton.history.whole import PAGE, WholeLog


class History(WholeLog):
    """The log of one namespace, from its first position that is kept anywhere. For concurrent tasks of one
    event loop. Every read of a Log is one of it."""

    async def pages(
        self,
        partition: int,
        first: int = 1,
        last: int | None = None,
        chosen: Filter = ALL,
    ) -> AsyncIterator[Page]:
        """The entries from one position to another (default: to the end, as it is when it is reached) that
        fit, in order. Pages are never empty, and as large as they come at once.

        Raises HoleError, ForeignEntryError, LogForkedError.
        """
        actors = Actors(chosen.actors, self.actors_of) if chosen.actors is not None else None
        async for page in self._steps(partition, max(0, first - 1), last, chosen.jobs):
            if actors is not None:
                await actors.learn(page)
            if not chosen.empty:
                page = only(page, chosen.mask(page, actors.fits if actors else None))
            if page.size:
                yield page

    async def entries(
        self, partition: int, first: int = 1, last: int | None = None, chosen: Filter = ALL
    ) -> AsyncIterator[Entry]:
        """The same one by one."""
        async for page in self.pages(partition, first, last, chosen):
            for index in range(page.size):
                yield page.entry(index)

    async def events(
        self, partition: int, first: int = 1, last: int | None = None, chosen: Filter = ALL
    ) -> AsyncIterator[Event]:
        """The same decoded. Raises DecodeError."""
        async for entry in self.entries(partition, first, last, chosen):
            yield entry.event()

    async def between(
        self, since: int | None, until: int | None, chosen: Filter = ALL
    ) -> AsyncIterator[Page]:
        """The entries of a time (microseconds since 1970, both included; None: without a bound) that fit:
        one partition after the other, each in order."""
        for partition in range(self.partitions):
            first = 1 if since is None else await self.position_at(partition, since - 1) + 1
            last = None if until is None else await self.position_at(partition, until)
            if since is None:
                first = max(1, await self.first_position(partition))
            async for page in self.pages(partition, first, last, chosen):
                yield page

    async def expired(self, partition: int) -> int:
        """The last position that has expired, as far as anybody can say now; 0 for none."""
        archived, tree = self.past.archived, self.tree(partition)
        with contextlib.suppress(UnavailableError):
            return (await archived.expired(tree)).until
        return archived.catalogue.expired(tree).until

    async def position_at(self, partition: int, at: int, *, exact: bool = True) -> int:
        """The last position whose event was at a time (microseconds since 1970) or earlier; 0 for none.
        Times never fall in a partition. Without `exact` it may be a little later: for who looks again."""
        low = await self.first_live(partition)
        high = await self.position(partition)
        entry = await self.entry(partition, low) if low else None
        if entry is None or int(entry.value(AT)) > at:
            return await self.past.archived.position_at(
                self.tree(partition), at, low or high + 1, exact=exact
            )
        while low < high:
            middle = (low + high + 1) // 2
            found = await self.entry(partition, middle)
            if found is None:
                raise self.hole(partition, middle, middle)
            if int(found.value(AT)) <= at:
                low = middle
            else:
                high = middle - 1
        return low

    async def job(
        self, job: str, *, after: int = 0, until: int | None = None, at: int | None = None
    ) -> AsyncIterator[Event]:
        """The events of one job, oldest first: after one position, up to another one or up to a time
        (microseconds since 1970, included). Found without reading what is not of it.

        An event whose entry cannot be read is as the index has it. Raises HoleError, UnavailableError.
        """
        async for found in self._of_job(job, after, until, at, exact=False):
            yield found if isinstance(found, Event) else found.event()

    async def job_entries(
        self, job: str, *, after: int = 0, until: int | None = None, at: int | None = None
    ) -> AsyncIterator[Entry]:
        """The same as exact entries. Raises HoleError, UnavailableError, EvidenceError."""
        async for found in self._of_job(job, after, until, at, exact=True):
            assert isinstance(found, Entry), "exact is exact"
            yield found

    async def history(self, job: str, *, page: int = PAGE) -> AsyncIterator[Event]:  # noqa: ARG002
        """The events of one job, oldest first; see `job`."""
        async for event in self.job(job):
            yield event

    async def _steps(
        self, partition: int, after: int, last: int | None, jobs: frozenset[str] | None
    ) -> AsyncIterator[Page]:
        """All pages after a position; of what is archived at least those with some jobs, where given."""
        archived = False
        while last is None or after < last:
            if jobs is not None and await self.live(partition, after, last, 1) is None:
                before, end = after, last or await self.position(partition)
                pages = self.past.archived.of_jobs(self.tree(partition), jobs, after, end)
                async for some, reached in pages:
                    after = reached
                    if some is not None:
                        yield some
                archived = archived or after > before
                if last is not None and after >= last:
                    return
            found = await self.next_page(partition, after, last, None)
            if archived and not isinstance(found, Page):
                await self._check_joint(partition, after)
            if isinstance(found, Page):
                archived, page = True, found
            elif found:
                archived, page = False, page_of(partition, after, found)
            else:
                return
            after = page.positions[-1]
            if archived and jobs is None and (last is None or after < last):
                # While this page is worked on, the next one is read.
                ahead = asyncio.ensure_future(
                    self.past.archived.ahead(self.tree(partition), after + 1)
                )
                try:
                    yield page
                finally:
                    ahead.cancel()
            else:
                yield page

    async def _check_joint(self, partition: int, after: int) -> None:
        """Where reading leaves the archive: both must tell of the same log. Raises LogForkedError."""
        last = max(after, await self.past.archived.last_position(self.tree(partition)))
        position = await self.position(partition)
        if position < last:
            raise LogForkedError(
                f"partition {partition} ends at {position}, but the archive holds it up to {last}: its tail "
                "was lost; see `triton log status`",
                partition=partition,
                position=position + 1,
            )
        (live,) = await self.live_entries(partition, [last])
        page = await self.past.archived.page(self.tree(partition), last - 1, last, 1)
        if live is not None and page is not None and page.entry(0).record() != live.record():
            raise LogForkedError(
                f"the archive's entry at {last} of partition {partition} is not the one in Redis: the log "
                "lost its tail and was written again; see `triton log status`",
                partition=partition,
                position=last,
            )

    async def _of_job(
        self, job: str, after: int, until: int | None, at: int | None, *, exact: bool
    ) -> AsyncIterator[Entry | Event]:
        partition = keys.partition_of(job, self.partitions)
        end = await self.position(partition) if until is None else until
        version = 0
        if self.past.index is None:
            # Nobody says where its events are: look at no more than may have some.
            after = max(after, await self.first_position(partition) - 1)
            if at is not None:
                end = min(end, await self.position_at(partition, at, exact=False))
        while after < end:
            page = await job_page(
                self, job, after, version=version, until=end, limit=PAGE, exact=exact
            )
            for found in page.found:
                if isinstance(found, Event):
                    when, version = found.at, found.version
                else:
                    when, version = int(found.value(AT)), int(found.value(VERSION))
                if found.position > end or (at is not None and when > at):
                    return
                yield found
            after = page.position

    async def actors_of(self, jobs: Collection[str]) -> dict[str, str]:
        """The actor of each job that anybody knows: by its head, by the index, by its first event."""
        wanted = list(jobs)
        async with self.client.pipeline(transaction=False) as pipe:
            for job in wanted:
                prefix = self.prefix(keys.partition_of(job, self.partitions))
                pipe.hget(keys.job(prefix, job), "actor")
            replies = await pipe.execute()
        found = {job: raw.decode() for job, raw in zip(wanted, replies, strict=True) if raw}
        rest = [job for job in wanted if job not in found]
        if rest and self.past.index is not None:
            with contextlib.suppress(UnavailableError):
                rows = await self.past.index.rows("actors", {"jobs": rest})
                found |= {row["job"]: row["actor"] for row in rows}
        for job in rest:
            if job not in found:
                async for event in self.job(job):
                    if isinstance(event.data, Submitted):
                        found[job] = event.data.actor
                    break
        return found
