"""The one reader: whatever was sealed and trimmed, and whenever, what it gives is what was written."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_log import BEGIN, Line, append, lines

from archived_log import ArchivedLog, folder_archive
from triton import keys
from triton.archive import ArchiveStore
from triton.errors import HoleError, LogForkedError, UnavailableError
from triton.events.client import connect, connect_async
from triton.events.log import Checkpoint
from triton.history import ALL, Filter, History, Past
from triton.stack.engines import Engines

EPOCH = "e1"


class Corner:
    """A log in Redis and an archive in a folder; both go away."""

    def __init__(self, url: str, namespace: str, folder: Path) -> None:
        self.url = url
        self.namespace = namespace
        self.client = connect(url)
        self.prefix = keys.prefix(namespace, 0)
        self.store = folder_archive(folder)
        self.lines: list[Line] = []

    def write(self, some: list[Line]) -> None:
        append(self.client, self.prefix, some, EPOCH)
        self.lines += some

    def archived(self, block_events: int = 5) -> ArchivedLog:
        return ArchivedLog(self.client, self.store, self.namespace, block_events=block_events)

    def ask(self, question: Callable[[History], Awaitable[object]], store: object = None) -> object:
        async def asked() -> object:
            async with self.history(store) as history:
                return await question(history)

        return asyncio.run(asked())

    @asynccontextmanager
    async def history(self, store: object = None) -> AsyncIterator[History]:
        found: ArchiveStore = store or self.store  # type: ignore[assignment]
        async with connect_async(self.url) as client:
            yield History(client, self.namespace, [EPOCH], Past(lambda: found))

    def close(self) -> None:
        self.client.delete(keys.log(self.prefix), keys.meta(self.prefix))
        self.client.close()


@pytest.fixture
def corner(engines: Engines, namespace: str, tmp_path: Path) -> Iterator[Corner]:
    made = Corner(engines.redis_url, namespace, tmp_path)
    yield made
    made.close()


def fits(line: Line, chosen: Filter) -> bool:
    belongs = line.correlation or line.job
    return all(
        wanted is None or value in wanted
        for value, wanted in (
            (line.job, chosen.jobs),
            (line.tenant, chosen.tenants),
            (line.queue, chosen.queues),
            (line.actor, chosen.actors),
            (line.type, chosen.types),
            (belongs, chosen.correlations),
        )
    )


def some(names: list[str]) -> st.SearchStrategy[frozenset[str] | None]:
    return st.none() | st.none() | st.frozensets(st.sampled_from(names), max_size=2)


filters = st.just(ALL) | st.builds(
    Filter,
    jobs=some([f"job-{n}" for n in range(7)]),
    tenants=some(["a", "b"]),
    queues=some(["q", "r"]),
    actors=some(["x", "y", "z"]),
    types=some(["job.submitted", "job.completed", "job.started"]),
    correlations=some(["flow", "job-0", "job-1"]),
)


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_history_gives_is_what_a_plain_filter_of_the_list_gives(
    engines: Engines, data: st.DataObject
) -> None:
    """Sealed, trimmed and written to between any two pages."""
    chance = random.Random(data.draw(st.integers(0, 2**32), "log"))
    count = data.draw(st.integers(1, 60), "events")
    with tempfile.TemporaryDirectory() as folder:
        corner = Corner(engines.redis_url, f"h{chance.getrandbits(60)}", Path(folder))
        try:
            whole = lines(chance, count + 10)
            corner.write(whole[:count])
            archived = corner.archived(data.draw(st.integers(1, 9), "block"))

            def disturb() -> None:
                if data.draw(st.booleans(), "seal") and archived.sealed < archived.position:
                    archived.seal(
                        data.draw(st.integers(archived.sealed + 1, archived.position), "seal to")
                    )
                if archived.sealed and data.draw(st.booleans(), "trim"):
                    upto = data.draw(st.integers(1, archived.sealed), "trim to")
                    corner.client.execute_command(
                        "XTRIM", keys.log(corner.prefix), "MINID", f"{upto + 1}-0"
                    )
                if len(corner.lines) < len(whole) and data.draw(st.booleans(), "append"):
                    corner.write([whole[len(corner.lines)]])

            for _ in range(3):
                disturb()
            chosen = data.draw(filters, "filter")
            first = data.draw(st.integers(1, count), "first")
            last = data.draw(st.none() | st.integers(first, count), "last")
            jobs = [f"job-{n}" for n in range(7)]
            job, until = data.draw(st.sampled_from(jobs)), data.draw(st.integers(1, count))
            at = data.draw(st.integers(BEGIN - 1, whole[-1].at + 1))
            size = data.draw(st.integers(1, 12), "page")

            async def read(history: History) -> None:
                found = []
                async for page in history.pages(0, first, last, chosen):
                    found += [page.entry(index) for index in range(page.size)]
                    disturb()
                end = last or len(corner.lines)
                expected = [line for line in corner.lines[first - 1 : end] if fits(line, chosen)]
                if last is None:
                    # What came after the end was looked for may be missing, nothing else.
                    expected = expected[: len(found)]
                    least = [ln for ln in corner.lines[first - 1 : count] if fits(ln, chosen)]
                    assert len(found) >= len(least)
                assert [entry.position for entry in found] == [ln.position for ln in expected]
                assert [list(entry.fields[1::2]) for entry in found] == [
                    list(line.values) for line in expected
                ]

                events = [event async for event in history.job(job, until=until)]
                disturb()
                assert [event.position for event in events] == [
                    line.position for line in corner.lines[:until] if line.job == job
                ]
                before = [line for line in corner.lines if line.at <= at]
                assert await history.position_at(0, at) == len(before)
                disturb()
                before = [line for line in corner.lines if line.at <= at]
                entries = [entry.position async for entry in history.job_entries(job, at=at)]
                assert entries == [line.position for line in before if line.job == job]

                after = 0
                while page_found := await history.page(0, after, count=size):
                    assert list(page_found.positions) == list(
                        range(after + 1, after + 1 + page_found.size)
                    )
                    after = page_found.positions[-1]
                    assert page_found.size == size or after >= count
                    disturb()
                assert after >= count

            corner.ask(read)
        finally:
            corner.close()


def test_what_neither_has_stops_the_reader(corner: Corner) -> None:
    corner.write(lines(random.Random(1), 30))
    archived = corner.archived()
    archived.seal(10)
    corner.client.execute_command("XTRIM", keys.log(corner.prefix), "MINID", "21-0")

    async def read(history: History) -> None:
        assert [page async for page in history.pages(0, 21)]
        with pytest.raises(HoleError, match="positions 11 to 20"):
            async for page in history.pages(0):
                assert page.positions[-1] <= 10
        with pytest.raises(HoleError):
            [event async for event in history.job("job-1")]
        assert await history.first_position(0) == 1

    corner.ask(read)


def test_the_first_events_of_a_log_are_not_passed_over(corner: Corner) -> None:
    """Who follows from the earliest on may come just when the log begins."""

    def more() -> None:
        corner.write(lines(random.Random(1), 6, after=len(corner.lines)))

    class Beginning(History):
        """A log whose first events come while it is asked for its first position."""

        async def first_live(self, partition: int) -> int:
            first = await super().first_live(partition)
            await asyncio.to_thread(more)
            return first

        async def position(self, partition: int) -> int:
            found = await super().position(partition)
            if found:
                await asyncio.to_thread(more)
            return found

    async def begun(history: History) -> int:
        return await Beginning(history.client, corner.namespace, [EPOCH]).first_position(0)

    assert corner.ask(begun) == 1


@pytest.mark.parametrize("written_again", [0, 5, 20])
def test_a_log_that_lost_what_the_archive_has_is_another_log(
    corner: Corner, written_again: int
) -> None:
    """A failover took the tail, and positions are issued again: with fewer entries, and with more."""
    corner.write(lines(random.Random(2), 30))
    archived = corner.archived()
    archived.seal(30)
    corner.client.delete(keys.log(corner.prefix))
    append(corner.client, corner.prefix, corner.lines[15:20])
    if written_again:
        append(corner.client, corner.prefix, lines(random.Random(3), written_again, after=20))

    async def read(history: History) -> None:
        with pytest.raises(LogForkedError):
            async for page in history.pages(0):
                assert page.positions[-1] <= 20

    corner.ask(read)


def test_a_checkpoint_whose_entry_was_trimmed_is_compared_with_the_archive(corner: Corner) -> None:
    corner.write(lines(random.Random(4), 30))
    archived = corner.archived()
    archived.seal(20)
    digest = archived.page(7, 7).entry(0).digest()
    corner.client.execute_command("XTRIM", keys.log(corner.prefix), "MINID", "15-0")

    async def read(history: History) -> None:
        await history.validate(0, Checkpoint(EPOCH, 7, digest))
        with pytest.raises(LogForkedError):
            await history.validate(0, Checkpoint(EPOCH, 7, "another"))
        with pytest.raises(LogForkedError):
            await history.validate(0, Checkpoint(EPOCH, 31, digest))

    corner.ask(read)


class Away:
    """An archive that does not answer."""

    def __getattr__(self, name: str) -> object:
        def fail(*_: object, **__: object) -> object:
            raise UnavailableError("The archive failed: no route.")

        return fail


def test_live_parts_go_on_while_the_archive_is_away(corner: Corner) -> None:
    corner.write(lines(random.Random(5), 30))
    archived = corner.archived()
    archived.seal(20)
    corner.client.execute_command("XTRIM", keys.log(corner.prefix), "MINID", "15-0")

    async def read(history: History) -> None:
        found = [page async for page in history.pages(0, 15)]
        assert sum(page.size for page in found) == 16
        with pytest.raises(UnavailableError, match="position 3 of partition 0") as raised:
            await history.page(0, 2)
        assert "\n" not in raised.value.message

    corner.ask(read, Away())


class Counting:
    """An archive that counts what is read of segments."""

    def __init__(self, store: ArchiveStore) -> None:
        self._store = store
        self.blocks: list[str] = []
        self.footers: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        # A footer ends the file, blocks do not.
        end = offset + size >= self._store.size(key)
        (self.footers if end else self.blocks).append(key)
        return self._store.read_range(key, offset, size)


def test_one_job_is_found_without_reading_what_is_not_of_it(corner: Corner) -> None:
    """40 segments of 10 blocks; each job lives in 30 entries in a row, so in two blocks at most."""
    made = []
    for number in range(400):
        begin = BEGIN + 1000 * number
        life = lines(random.Random(number), 30, jobs=1, after=30 * number, begin=begin)
        job = f"job-{number}"
        made += [
            line._replace(job=job, values=[line.values[0], job.encode(), *line.values[2:]])
            for line in life
        ]
    corner.write(made)
    archived = corner.archived(block_events=30)
    archived.seal_all(range(305, 12_001, 300))
    corner.client.execute_command("XTRIM", keys.log(corner.prefix), "MINID", "11601-0")
    store = Counting(corner.store)

    async def read(history: History) -> None:
        found = [event.position async for event in history.job("job-123", until=11_000)]
        assert found == list(range(123 * 30 + 1, 124 * 30 + 1))
        assert len(store.blocks) <= 2
        store.blocks.clear()
        chosen = Filter(jobs=frozenset({"job-77", "job-300"}))
        sizes = [page.size async for page in history.pages(0, chosen=chosen)]
        assert sum(sizes) == 60
        assert len(store.blocks) <= 4 + 2
        store.blocks.clear()
        store.footers.clear()
        assert await history.position_at(0, made[5000].at) >= 5001
        assert len(store.blocks) <= 1
        assert len(store.footers) <= 1

    corner.ask(read, store)


def test_readers_at_once_share_one_read_and_one_that_leaves_takes_none_with_it(
    corner: Corner,
) -> None:
    corner.write(lines(random.Random(6), 30))
    archived = corner.archived(block_events=30)
    archived.seal(30)
    corner.client.execute_command("XTRIM", keys.log(corner.prefix), "MINID", "31-0")
    store = Counting(corner.store)

    async def read(history: History) -> None:
        readers = [asyncio.create_task(history.page(0, n)) for n in range(10)]
        await asyncio.sleep(0)
        readers[0].cancel()
        pages = await asyncio.gather(*readers, return_exceptions=True)
        assert isinstance(pages[0], asyncio.CancelledError)
        assert [page.positions[0] for page in pages[1:]] == list(range(2, 11))  # type: ignore[union-attr]
        assert (len(store.blocks), len(store.footers)) == (1, 1)

    corner.ask(read, store)
