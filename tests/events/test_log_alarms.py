"""Owns the three alarms of the log: a hole, an entry that is not ours, and a history that was replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
import redis
from log_steps import Steps
from redis.exceptions import ResponseError

from redis_server import RedisServer, valkey_binary
from triton import keys
from triton.errors import ForeignEntryError, HoleError, LogForkedError
from triton.events.client import connect_async
from triton.events.envelope import FIELDS
from triton.events.log import Checkpoint, Log
from triton.events.scripts import Scripts

T = TypeVar("T")


def ask(server: RedisServer, namespace: str, question: Callable[[Log], Awaitable[T]]) -> T:
    """What a reader of the log answers, on a connection of its own."""

    async def run() -> T:
        async with connect_async(server.url) as client:
            return await question(await Log.open(client, Scripts(), namespace, 1, "new"))

    return asyncio.run(run())


async def history(log: Log, job: str) -> list[int]:
    return [event.version async for event in log.history(job)]


@pytest.fixture
def five(steps: Steps) -> Steps:
    """A log with five entries: two jobs submitted and started, one ended."""
    steps.run(steps.submit("a", "b"), steps.claim("w", limit=2), steps.finish("a"))
    return steps


# -- holes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [[1], [3], [2, 3], [1, 2, 3, 4]])
def test_a_hole_stops_every_reader(server: RedisServer, five: Steps, missing: list[int]) -> None:
    five.client.xdel(keys.log(five.prefix), *(f"{n}-0" for n in missing))
    for read in (
        lambda log: log.range(0, 0),
        lambda log: log.range(0, 0, count=5),
        lambda log: log.wait(0, missing[0] - 1, block_ms=10),
    ):
        with pytest.raises(HoleError, match=rf"{missing[0]} to {missing[-1]} are missing") as found:
            ask(server, five.namespace, read)
        assert found.value.details == {"partition": 0, "position": missing[0]}


def test_a_hole_stops_a_history_where_it_is(server: RedisServer, five: Steps) -> None:
    five.client.xdel(keys.log(five.prefix), "3-0")
    with pytest.raises(HoleError, match="3 to 3 are missing"):
        ask(server, five.namespace, lambda log: history(log, "a"))


def test_a_deleted_last_entry_is_a_hole_as_soon_as_another_follows(
    server: RedisServer, five: Steps
) -> None:
    five.client.xdel(keys.log(five.prefix), "5-0")
    assert len(ask(server, five.namespace, lambda log: log.range(0, 0))) == 4
    five.run(five.submit("c"))
    with pytest.raises(HoleError, match="holds 6 after 4: 5 to 5 are missing"):
        ask(server, five.namespace, lambda log: log.range(0, 4))


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_what_was_trimmed_unread_is_a_hole(server: RedisServer, five: Steps, kept: int) -> None:
    """Position 3 was read, of five; the log keeps the last entries only."""
    checkpoint = ask(server, five.namespace, lambda log: log.checkpoint(0, 3))
    five.client.xtrim(keys.log(five.prefix), maxlen=kept, approximate=False)

    def validate(log: Log) -> Awaitable[None]:
        return log.validate(0, checkpoint)

    if kept >= 2:
        ask(server, five.namespace, validate)
        assert [e.position for e in ask(server, five.namespace, lambda log: log.range(0, 3))] == [
            4,
            5,
        ]
    else:
        with pytest.raises(HoleError, match=rf"positions 4 to {5 - kept} .* were trimmed") as found:
            ask(server, five.namespace, validate)
        assert found.value.details == {"partition": 0, "position": 4}


def test_a_reader_at_the_end_survives_a_trim_of_all(server: RedisServer, five: Steps) -> None:
    checkpoint = ask(server, five.namespace, lambda log: log.checkpoint(0, 5))
    five.client.xtrim(keys.log(five.prefix), maxlen=0, approximate=False)
    ask(server, five.namespace, lambda log: log.validate(0, checkpoint))
    five.run(five.submit("c"))
    assert [e.position for e in ask(server, five.namespace, lambda log: log.range(0, 5))] == [6]


# -- foreign entries ------------------------------------------------------------------------------

RIGHT_FIELDS = dict.fromkeys(FIELDS, b"1")


@pytest.mark.parametrize(
    ("entry_id", "fields"),
    [
        pytest.param("*", {"hello": "world"}, id="made by hand"),
        pytest.param("*", RIGHT_FIELDS, id="right fields, clock's id"),
        pytest.param("6-0", {"hello": "world"}, id="right id, wrong fields"),
        pytest.param(
            "6-0", {"type": "job.due", **{f"f{n}": "x" for n in range(12)}}, id="13 fields"
        ),
        pytest.param("6-1", RIGHT_FIELDS, id="next position, part 1"),
        pytest.param("9-0", RIGHT_FIELDS, id="a later position"),
    ],
)
def test_the_scripts_refuse_a_log_with_a_foreign_entry_and_leave_all_as_it_was(
    server: RedisServer, five: Steps, entry_id: str, fields: dict[Any, Any]
) -> None:
    five.run(five.submit("c", "d", "e"), five.cancel("d"))  # b runs, c and e wait, d is cancelled
    entry_id = entry_id.replace("6-", "10-").replace("9-", "14-")
    five.client.xadd(keys.log(five.prefix), fields, id=entry_id)
    before = five.dump()
    for call in (
        five.submit("new"),
        five.claim("w2"),
        five.finish("b", outbox=("next",)),
        five.release(("b", 1)),
        five.cancel("b"),
        five.cancel("c"),
        five.requeue("d"),
    ):
        with pytest.raises(
            ResponseError, match=r"TRITON_LOG_REFUSED .* 10 .*not written by Triton"
        ):
            five.run(call)
        assert five.dump() == before, call.script.name
    with pytest.raises((ForeignEntryError, HoleError)) as found:
        ask(server, five.namespace, lambda log: log.range(0, 9))
    # What looks like one of ours, but for its position, looks as if others were missing before it.
    like_ours = fields is RIGHT_FIELDS and entry_id != "10-1"
    assert isinstance(found.value, HoleError) == like_ours
    assert len(ask(server, five.namespace, lambda log: log.range(0, 0, until=9))) == 9


def test_an_entry_between_two_positions_stops_readers(server: RedisServer, five: Steps) -> None:
    """`5-1` fits between 5 and 6: the server takes both it and what follows."""
    five.client.xadd(keys.log(five.prefix), RIGHT_FIELDS, id="5-1")
    five.run(five.submit("c"))
    for read in (
        lambda log: log.range(0, 0),
        lambda log: log.range(0, 5),
        lambda log: log.wait(0, 5, block_ms=10),
    ):
        with pytest.raises(ForeignEntryError, match="entry 5-1 was not written by Triton") as found:
            ask(server, five.namespace, read)
        assert found.value.details == {"entry": "5-1"}
    with pytest.raises(ForeignEntryError):
        ask(server, five.namespace, lambda log: history(log, "b"))


# -- forks ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Another server, as after a failover."""
    server = RedisServer(valkey_binary(), tmp_path_factory.mktemp("replica"))
    yield server
    server.stop()


@pytest.fixture
def pair(
    valkey: RedisServer, replica: RedisServer, namespace: str
) -> Iterator[tuple[Steps, Steps]]:
    """One log of five entries, on two servers."""
    with valkey.client() as old, replica.client() as new:
        first, second = Steps(old, namespace), Steps(new, namespace)
        first.open()
        first.run(first.submit("a", "b"), first.claim("w", limit=2), first.finish("a"))
        copy(first.client, second.client, first.prefix)
        yield first, second
        old.delete(*old.scan_iter(f"{{{namespace}*"))
        new.flushall()


def copy(source: redis.Redis, target: redis.Redis, prefix: str) -> None:
    for key in list(source.scan_iter(f"{prefix}*")):
        target.restore(key, 0, source.dump(key), replace=True)


def test_a_copy_is_the_same_log(
    pair: tuple[Steps, Steps], valkey: RedisServer, replica: RedisServer
) -> None:
    first, _ = pair
    for position in range(6):
        checkpoint = ask(valkey, first.namespace, lambda log, at=position: log.checkpoint(0, at))
        ask(replica, first.namespace, lambda log, at=checkpoint: log.validate(0, at))


def test_the_same_position_with_other_content_is_a_fork(
    pair: tuple[Steps, Steps], valkey: RedisServer, replica: RedisServer
) -> None:
    first, second = pair
    first.run(first.submit("c", "d"))
    second.run(second.submit("d", "c", "e"))
    namespace = first.namespace
    for position in (6, 7):
        checkpoint = ask(valkey, namespace, lambda log, at=position: log.checkpoint(0, at))
        with pytest.raises(
            LogForkedError, match=f"entry at {position} .* is not the one that was read"
        ) as found:
            ask(replica, namespace, lambda log, at=checkpoint: log.validate(0, at))
        assert found.value.details == {"partition": 0, "position": position}
    before = ask(valkey, namespace, lambda log: log.checkpoint(0, 5))
    ask(replica, namespace, lambda log: log.validate(0, before))


def test_a_lost_tail_is_a_fork(
    pair: tuple[Steps, Steps], valkey: RedisServer, replica: RedisServer
) -> None:
    first, _ = pair
    first.run(first.submit("c"))
    checkpoint = ask(valkey, first.namespace, lambda log: log.checkpoint(0, 6))
    with pytest.raises(LogForkedError, match=r"ends at 5, but 6 was read .* its tail was lost"):
        ask(replica, first.namespace, lambda log: log.validate(0, checkpoint))


def test_an_empty_server_is_a_fork_by_its_epoch(
    pair: tuple[Steps, Steps], valkey: RedisServer, replica: RedisServer
) -> None:
    first, second = pair
    checkpoint = ask(valkey, first.namespace, lambda log: log.checkpoint(0, 5))
    second.client.flushall()
    with pytest.raises(
        LogForkedError, match=r"has epoch new, the checkpoint is from e: .* another"
    ):
        ask(replica, first.namespace, lambda log: log.validate(0, checkpoint))
    with pytest.raises(LogForkedError):
        ask(replica, first.namespace, lambda log: log.validate(0, Checkpoint("e", 0, "")))
