"""Owns reading the log: ranges, pages, one job's history, the tail that blocks, opening."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from log_steps import Steps
from partition_model import Sent
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from eventually import eventually
from redis_server import RedisServer, valkey_binary
from triton import keys
from triton.errors import ConfigurationError, UnavailableError
from triton.events.client import connect_async
from triton.events.cluster import servers_of
from triton.events.heads import read_body, read_many
from triton.events.log import Checkpoint, Log
from triton.events.scripts import Scripts

Scenario = Callable[[Log], Coroutine[Any, Any, None]]


@asynccontextmanager
async def opened(
    server: RedisServer, namespace: str, partitions: int = 1, epoch: str = "e"
) -> AsyncIterator[Log]:
    async with connect_async(server.url) as client:
        yield await Log.open(client, Scripts(), namespace, partitions, epoch)


@pytest.fixture
def reading(server: RedisServer, steps: Steps) -> Callable[[Scenario], None]:
    """Runs a scenario with the log of `steps`, opened by a reader."""

    async def run(scenario: Scenario) -> None:
        async with opened(server, steps.namespace) as log:
            await scenario(log)

    return lambda scenario: asyncio.run(run(scenario))


def test_ranges_and_pages(steps: Steps, reading: Callable[[Scenario], None]) -> None:
    jobs = [f"job-{n}" for n in range(25)]
    steps.run(steps.submit(*jobs))

    async def scenario(log: Log) -> None:
        pages = []
        after = 0
        while page := await log.range(0, after, count=10):
            pages.append([entry.position for entry in page])
            assert [e.event().job for e in page] == jobs[after : after + 10]
            after = page[-1].position
        assert pages == [list(range(1, 11)), list(range(11, 21)), list(range(21, 26))]
        assert [e.position for e in await log.range(0, 3, until=5)] == [4, 5]
        assert await log.range(0, 5, until=5) == []
        assert await log.range(0, 25) == []
        assert await log.range(0, 26) == []
        assert (await log.position(0), await log.first_position(0)) == (25, 1)
        entry = await log.entry(0, 7)
        assert entry is not None
        assert (entry.position, entry.event().job) == (7, "job-6")
        assert await log.entry(0, 26) is None
        assert await log.entry(0, 0) is None

    reading(scenario)


def test_an_empty_log(steps: Steps, reading: Callable[[Scenario], None]) -> None:
    async def scenario(log: Log) -> None:
        assert log.epochs == ("e",)
        assert (await log.position(0), await log.first_position(0)) == (0, 0)
        assert await log.range(0, 0) == []
        assert [event async for event in log.history("a")] == []
        assert await log.checkpoint(0, 0) == Checkpoint("e", 0, "")
        await log.validate(0, Checkpoint("e", 0, ""))

    reading(scenario)


def test_the_history_of_one_job_among_others(
    steps: Steps, reading: Callable[[Scenario], None]
) -> None:
    job = "ünï ☃ 😀"
    steps.run(steps.submit("a", job, "ab"), steps.claim("w", limit=3))
    steps.run(steps.finish("a"), steps.finish(job))

    async def scenario(log: Log) -> None:
        for page in (1, 3, 1000):
            events = [event async for event in log.history(job, page=page)]
            assert [(e.type, e.version, e.position) for e in events] == [
                ("job.submitted", 1, 2),
                ("job.started", 2, 5),
                ("job.completed", 3, 8),
            ]
            assert {e.job for e in events} == {job}
        assert [event async for event in log.history("unknown")] == []

    reading(scenario)


def test_the_history_begins_where_the_log_does(
    steps: Steps, reading: Callable[[Scenario], None]
) -> None:
    steps.run(steps.submit("a", "b"), steps.claim("w", limit=2), steps.finish("b"))
    steps.client.xtrim(keys.log(steps.prefix), minid="4-0", approximate=False)

    async def scenario(log: Log) -> None:
        assert await log.first_position(0) == 4
        assert [e.version async for e in log.history("b", page=1)] == [2, 3]
        assert [e.version async for e in log.history("a")] == []

    reading(scenario)


def test_waiting_wakes_on_an_append(steps: Steps, reading: Callable[[Scenario], None]) -> None:
    steps.run(steps.submit("a"))

    async def scenario(log: Log) -> None:
        assert [e.position for e in await log.wait(0, 0, block_ms=5000)] == [1]
        # Who is not woken gets nothing in the end.
        waiting = asyncio.create_task(log.wait(0, 1, block_ms=5000))
        await asyncio.to_thread(eventually, lambda: _blocked_clients(steps))
        await asyncio.to_thread(steps.run, steps.submit("b", "c"))
        assert [e.event().job for e in await waiting] in (["b"], ["b", "c"])
        assert [e.position for e in await log.wait(0, 1, block_ms=5000, count=1)] == [2]

    reading(scenario)


def test_waiting_ends_without_an_append(steps: Steps, reading: Callable[[Scenario], None]) -> None:
    async def scenario(log: Log) -> None:
        began = time.monotonic()
        assert await log.wait(0, 0, block_ms=50) == []
        assert time.monotonic() - began > 0.04

    reading(scenario)


def _blocked_clients(steps: Steps) -> bool:
    servers = servers_of(steps.client)
    return any(server.info("clients")["blocked_clients"] for server in servers)


def test_checkpoints_are_what_was_read(steps: Steps, reading: Callable[[Scenario], None]) -> None:
    steps.run(steps.submit("a", "b"))

    async def scenario(log: Log) -> None:
        first, second = [await log.checkpoint(0, position) for position in (1, 2)]
        entries = await log.range(0, 0)
        assert first == Checkpoint("e", 1, entries[0].digest())
        assert first.digest != second.digest
        await log.validate(0, first)
        await log.validate(0, second)

    reading(scenario)


def test_heads_and_bodies_are_read(server: RedisServer, steps: Steps) -> None:
    body = bytes(range(256))
    steps.run(steps.submit(Sent("ü", "q", body), Sent("done", "q", body)))
    steps.run(steps.claim("w", limit=2), steps.finish("done"))

    async def read() -> None:
        async with connect_async(server.url) as client:
            ids = ["ü", "unknown"]
            (head, _), nothing = await read_many(client, steps.namespace, 1, ids)
            assert head is not None
            assert (head.state, head.version, head.position, head.worker) == (
                "processing",
                2,
                3,
                "w",
            )
            assert nothing == (None, None)
            assert await read_body(client, steps.namespace, 1, "ü") == body
            # For as long as its event is in the log.
            assert await read_body(client, steps.namespace, 1, "done") == body
            steps.run(steps.scripts.trim(steps.prefix, 2))
            assert await read_body(client, steps.namespace, 1, "ü") == body
            assert await read_body(client, steps.namespace, 1, "done") is None

    asyncio.run(read())


def test_opening_again_keeps_the_first_epoch(server: RedisServer, steps: Steps) -> None:
    async def read() -> None:
        async with opened(server, steps.namespace, epoch="another") as log:
            assert log.epochs == ("e",)

    asyncio.run(read())


def test_a_log_of_another_layout_is_refused_by_readers_and_scripts_alike(
    server: RedisServer, steps: Steps
) -> None:
    async def read() -> None:
        async with opened(server, steps.namespace):
            pass

    meta = keys.meta(steps.prefix)
    steps.client.hdel(meta, "layout")  # as logs were before there were layouts
    asyncio.run(read())
    steps.run(steps.submit("a"))
    steps.client.hset(meta, "layout", keys.LAYOUT + 1)
    before = steps.dump()
    with pytest.raises(ConfigurationError, match=r"has layout 3, .* knows layouts 1 to 2"):
        asyncio.run(read())
    for call in (steps.submit("b"), steps.claim("w"), steps.heartbeat(("a", 1)), steps.finish("a")):
        with pytest.raises(
            ResponseError, match=r"TRITON_LAYOUT .* have layout 3, .* layouts 1 and 2"
        ):
            steps.run(call)
    assert steps.dump() == before


@pytest.mark.parametrize(("created", "configured"), [(1, 3), (3, 1), (3, 2), (2, 3)])
def test_another_number_of_partitions_is_refused_and_changes_nothing(
    server: RedisServer, client: redis.Redis, namespace: str, created: int, configured: int
) -> None:
    async def create() -> None:
        async with opened(server, namespace, created) as log:
            assert log.epochs == ("e",) * created

    async def configure() -> None:
        async with opened(server, namespace, configured):
            pass

    try:
        asyncio.run(create())
        before = sorted(client.scan_iter(f"{{{namespace}*"))
        assert len(before) == created
        with pytest.raises(
            ConfigurationError,
            match=rf"created with {created} partitions.*is {configured}: set it to {created}",
        ):
            asyncio.run(configure())
        assert sorted(client.scan_iter(f"{{{namespace}*")) == before
    finally:
        client.delete(*client.scan_iter(f"{{{namespace}*"))


def test_a_server_that_is_gone(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = RedisServer(valkey_binary(), tmp_path_factory.mktemp("gone"))

    async def read() -> None:
        async with connect_async(server.url, retry=Retry(NoBackoff(), 0)) as client:
            log = await Log.open(client, Scripts(), "n", 1, "e")
            server.stop()
            with pytest.raises(UnavailableError, match=r"Redis does not answer.*is it running\?"):
                await Log.open(client, Scripts(), "n", 1, "e")
            for reading in (log.range(0, 0), log.wait(0, 0, block_ms=10), log.position(0)):
                with pytest.raises(redis.ConnectionError):
                    await reading

    asyncio.run(read())
