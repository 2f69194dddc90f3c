"""Owns how calls reach a server that forgot the scripts, is full, or is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
from log_steps import Steps
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ResponseError
from redis.retry import Retry

from redis_server import RedisServer, valkey_binary
from triton import keys
from triton.errors import ConfigurationError, log_refused, no_answer
from triton.events.client import connect, connect_async, send, send_async
from triton.events.cluster import servers_of
from triton.events.patience import ShortRetry
from triton.events.replies import answers
from triton.events.scripts import Call, Scripts, pack_outcome, pack_report
from triton.events.types import Completed, Progressed

Send = Callable[[list[Call]], list[Any]]


@pytest.fixture(params=["sync", "async"])
def sending(request: pytest.FixtureRequest, server: RedisServer, client: redis.Redis) -> Send:
    """`send` and `send_async`, called alike."""
    if request.param == "sync":
        return lambda calls: send(client, calls)

    async def once(calls: list[Call]) -> list[Any]:
        async with connect_async(server.url) as connected:
            return await send_async(connected, calls)

    return lambda calls: asyncio.run(_awaited(once(calls)))


@pytest.mark.parametrize(("seconds", "tries"), [(0.0, 2), (3600.0, 4)])
def test_a_call_is_repeated_for_a_time_only(seconds: float, tries: int) -> None:
    """And each time what failed is closed first: a late answer is not taken for the next one's."""
    said: list[str] = []

    async def do() -> None:
        said.append("asked")
        raise redis.TimeoutError

    async def close(_: Exception) -> None:
        said.append("closed")

    retry = ShortRetry(NoBackoff(), 3, seconds)
    with pytest.raises(redis.TimeoutError):
        asyncio.run(retry.call_with_retry(do, close))
    assert said == ["asked", "closed"] * tries


async def _awaited(answer: Awaitable[list[Any]]) -> list[Any]:
    return await answer


def test_the_server_computes_the_same_hash(client: redis.Redis) -> None:
    for script in Scripts().by_name.values():
        assert client.script_load(script.source) == script.sha


def test_forgotten_scripts_are_loaded_and_their_calls_repeated(sending: Send, steps: Steps) -> None:
    calls = [
        steps.submit("a", "b"),
        steps.claim("w", limit=2),
        steps.heartbeat(("a", 1), ("b", 1)),
        steps.finish("a"),
    ]
    steps.client.script_flush()
    submitted, claimed, alive, finished = sending(calls)
    assert answers(submitted) == ["ok", "ok"]
    assert [job[0] for job in claimed[1:]] == [b"a", b"b"]
    assert answers(alive) == ["ok", "ok"]
    assert answers(finished) == ["ok"]
    steps.client.script_flush()
    assert answers(sending([steps.finish("b")])[0]) == ["ok"]
    assert answers(sending([steps.finish("b")])[0]) == ["already"]


def test_one_forgotten_script_does_not_change_the_order_of_calls(
    sending: Send, steps: Steps
) -> None:
    """A report goes before the outcome, also when it is the first that this server sees."""
    steps.client.script_flush()
    for call in (steps.submit("a", "b"), steps.claim("w", limit=2), steps.finish("a")):
        sending([call])
    report = steps.scripts.report(
        steps.prefix, [pack_report("b", 1, 1, "worker:w", Progressed(percent=5))]
    )
    reported, finished = sending([report, steps.finish("b")])
    assert (answers(reported), answers(finished)) == (["ok"], ["ok"])


def test_a_refused_call_raises_after_all_others_have_run(sending: Send, steps: Steps) -> None:
    wrong = steps.scripts.heartbeat("{nowhere:0}:", 1000, [("a", 1)])
    with pytest.raises(ResponseError, match=r"TRITON_NO_LOG .* under .nowhere:0"):
        sending([steps.submit("a"), wrong, steps.submit("b")])
    assert answers(sending([steps.submit("a", "b", "c")])[0]) == ["exists", "exists", "ok"]


def fill(client: redis.Redis, maxmemory: int) -> None:
    for server in servers_of(client):
        server.config_set("maxmemory", maxmemory)


def test_a_full_server_refuses_a_transition_as_a_whole(sending: Send, steps: Steps) -> None:
    steps.run(steps.submit("run", "stop", "back", "wait"), steps.claim("w", limit=3))
    steps.run(steps.cancel("back"))
    refused = [
        steps.submit("new"),
        steps.claim("w2", limit=1),
        steps.scripts.report(
            steps.prefix, [pack_report("run", 1, 1, "worker:w", Progressed(percent=5))]
        ),
        steps.finish("run", outbox=("next",)),
        steps.release(("stop", 1)),
        steps.cancel("stop", "wait"),
        steps.requeue("back"),
    ]
    before = steps.dump()
    fill(steps.client, 1)
    try:
        for call in refused:
            with pytest.raises((OutOfMemoryError, ResponseError), match="maxmemory"):
                sending([call])
        assert steps.dump() == before
    finally:
        fill(steps.client, 0)
    assert answers(sending([refused[3]])[0]) == ["ok"]


def test_a_server_that_is_gone_is_a_connection_error_soon(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = RedisServer(valkey_binary(), tmp_path_factory.mktemp("gone"))
    call = Scripts().open("{gone:0}:", "e", 1)
    with connect(server.url) as client:
        send(client, [call])
        server.stop()
        with pytest.raises(redis.ConnectionError):
            send(client, [call, call])


def test_a_cluster_that_is_gone_is_a_connection_error_too() -> None:
    """redis-py's own is of no family of Redis errors, so that nobody would wait for the cluster."""
    url = "redis+cluster://127.0.0.1:1"

    async def awaited() -> None:
        client = connect_async(url)
        with pytest.raises(redis.ConnectionError, match="the cluster cannot be used"):
            await client.xlen("log")
        with pytest.raises(redis.ConnectionError, match="the cluster cannot be used"):
            async with client.pipeline(transaction=False) as pipe:
                await pipe.xlen("log").execute()
        await client.aclose()

    asyncio.run(awaited())
    with connect(url) as client, pytest.raises(redis.ConnectionError):
        client.xlen("log")


@pytest.mark.one_server
def test_what_ends_a_call_between_two_replies_leaves_none_for_the_next_one(
    server: RedisServer,
) -> None:
    class Interrupted(redis.UnixDomainSocketConnection):
        """As where a time limit arrives before a reply is waited for."""

        at_reply = 0
        ended = 0

        def read_response(self, *args: Any, **options: Any) -> Any:
            type(self).at_reply -= 1
            if self.at_reply == 0:
                raise KeyboardInterrupt
            return super().read_response(*args, **options)

        def disconnect(self, *args: Any) -> None:
            type(self).ended += 1
            super().disconnect(*args)

    calls = [Scripts().open(f"{{cut{i}:0}}:", f"e{i}", 1) for i in (1, 2)]
    with connect(server.url, connection_class=Interrupted) as client:
        send(client, calls)
        before, Interrupted.at_reply = Interrupted.ended, 2
        with pytest.raises(KeyboardInterrupt):
            send(client, calls)
        assert Interrupted.ended > before, "its second reply may be on its way still"
        assert send(client, calls[:1])[0][0] == b"e1"


@pytest.mark.one_server
def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(
    server: RedisServer, client: redis.Redis
) -> None:
    call = Scripts().open("{closed:0}:", "e1", 1)
    with connect(server.url, retry=Retry(NoBackoff(), 0), client_name="closed") as ours:
        assert send(ours, [call])[0][0] == b"e1"
        (known,) = [each["id"] for each in client.client_list() if each["name"] == "closed"]
        client.client_kill_filter(_id=known)
        assert send(ours, [call])[0][0] == b"e1", "nobody repeats it here"


@pytest.mark.one_server
def test_a_pool_that_somebody_bounded_has_all_its_connections_between_two_calls(
    server: RedisServer,
) -> None:
    call = Scripts().open("{bounded:0}:", "e1", 1)
    with connect(server.url, max_connections=1) as client:
        for _ in range(2):
            assert send(client, [call])[0][0] == b"e1"
            assert client.ping()


@pytest.mark.one_server
def test_one_connection_carries_call_after_call(server: RedisServer, client: redis.Redis) -> None:
    call = Scripts().open("{kept:0}:", "e1", 1)
    with connect(server.url, client_name="kept") as ours:
        for _ in range(3):
            send(ours, [call])
        assert len([each for each in client.client_list() if each["name"] == "kept"]) == 1


@pytest.mark.one_server
def test_another_connection_reads_no_files_of_packages(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py looks its own version up for each: a millisecond of who connects."""
    with connect(server.url) as client:
        client.ping()

    def read(name: str) -> str:
        raise AssertionError(f"the version of {name} is looked up again")

    monkeypatch.setattr("importlib.metadata.version", read)
    monkeypatch.setattr("redis.utils.metadata.version", read, raising=False)

    async def ping() -> None:
        async with connect_async(server.url) as client:
            await client.ping()

    with connect(server.url) as client:
        client.ping()
    asyncio.run(ping())


@pytest.mark.parametrize("connecting", [connect, connect_async])
@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://h:port/0"])
def test_a_bad_url_says_what_was_expected(connecting: Callable[[str], Any], url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected redis://host:port/db"):
        connecting(url)


def test_an_outcome_of_an_unknown_log_names_the_prefix(client: redis.Redis) -> None:
    packed = pack_outcome("a", 1, "worker:w", Completed())
    with pytest.raises(ResponseError, match="TRITON_NO_LOG"):
        send(client, [Scripts().finish("{never:0}:", [packed])])


def test_a_log_that_a_stranger_wrote_to_is_no_server_that_is_silent(steps: Steps) -> None:
    steps.client.xadd(keys.log(steps.prefix), {"x": "y"}, "9-0")
    with pytest.raises(ResponseError) as refused:
        send(steps.client, [steps.submit("a")])
    assert log_refused(refused.value)
    assert "not Triton wrote to it" in no_answer("Redis", refused.value)
    assert not log_refused(redis.ConnectionError("gone"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("Authentication required.", "refuses (Authentication required): check user"),
        ("invalid username-password pair or user is disabled.", "refuses (invalid username"),
        ("this user has no permissions to run the 'eval' command", "refuses (this user"),
        ("DB index is out of range", "refuses (DB index"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "refuses ([SSL"),
        (
            'connection failed: connection to "h" failed: FATAL:  password authentication failed\n'
            'connection to "h" failed: FATAL:  password authentication failed',
            'refuses (connection to "h" failed: FATAL: password authentication failed): check',
        ),
        ('FATAL:  database "nodb" does not exist', "refuses (FATAL: database"),
        ("Code: 81. DB::Exception: Database nodb does not exist.", "refuses (Code: 81"),
        (
            "MISCONF Errors writing to the AOF file: No space left on device",
            "cannot write its files (MISCONF Errors",
        ),
        (
            'could not extend file "base/5/1": No space left on device',
            "cannot write its files (could",
        ),
        ('relation "jobs" does not exist', "does not answer (relation"),
        ("Error 111 connecting to h:1. Connection refused.", "does not answer (Error 111"),
    ],
)
def test_who_refuses_is_there(error: str, said: str) -> None:
    assert no_answer("X", Exception(error)).startswith(f"X {said}")
