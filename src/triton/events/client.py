"""Owns how script calls reach Redis: connections, and the one rule for scripts the server forgot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, cast

import hiredis
import redis
import redis.asyncio
import redis.asyncio.cluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    ClusterDownError,
    ClusterError,
    NoScriptError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

from triton import keys
from triton.errors import ConfigurationError
from triton.events.cluster import (
    RAW,
    UNANSWERED,
    Cluster,
    as_is,
    connect_cluster_async,
    homes,
    is_cluster,
)
from triton.events.connections import Kept
from triton.events.patience import ShortRetry
from triton.events.scripts import Call
from triton.events.sources import Script
from triton.events.timed import AsyncRedis, Redis
from triton.observe.slow import calls as slow
from triton.setting_urls import REDIS, shown

#: Seconds without an answer after which a call is repeated on a new connection.
SOCKET_TIMEOUT: Final = 10.0
_RETRIES: Final = 4


def connect(url: str, **options: Any) -> redis.Redis:
    """A client for scripts and reads; connects when first used. Repeats by itself what failed.

    Stream replies are left as they come from the wire. Raises ConfigurationError for a bad URL.
    """
    retry = Retry(ExponentialBackoff(cap=1.0, base=0.05), _RETRIES)
    try:
        if is_cluster(url):
            return cast("redis.Redis", Cluster(url, **_options(retry, options)))
        client = Redis.from_url(url, **_options(retry, options))
    except ValueError as error:
        raise _bad_url(url, error) from error
    for command in RAW:
        client.set_response_callback(command, as_is)
    return client


def connect_async(url: str, **options: Any) -> redis.asyncio.Redis:
    """The same for asyncio."""
    retry = AsyncRetry(ExponentialBackoff(cap=1.0, base=0.05), _RETRIES)
    try:
        client = (
            cast("redis.asyncio.Redis", connect_cluster_async(url, **_options(retry, options)))
            if is_cluster(url)
            else AsyncRedis.from_url(url, **_options(retry, options))
        )
    except ValueError as error:
        raise _bad_url(url, error) from error
    for command in RAW:
        client.set_response_callback(command, as_is)
    return client


def connect_short(url: str, *, timeout: float, seconds: float) -> redis.asyncio.Redis:
    """As `connect_async`, for who waits: `timeout` seconds for one answer, and after `seconds` a
    call is repeated once at most. A cluster is asked as often as ever: another primary may have come."""
    if is_cluster(url):
        return connect_async(url, socket_timeout=timeout)
    retry = ShortRetry(ExponentialBackoff(cap=1.0, base=0.05), _RETRIES, seconds)
    return connect_async(url, socket_timeout=timeout, retry=retry)


@cache
def _driver() -> dict[str, Any]:
    """What a connection says of redis-py. By itself that reads the package's files for each connection, which
    takes longer than all else of it. Not known before redis-py 7."""
    try:
        from redis.driver_info import DriverInfo
    except ImportError:
        return {}
    return {"driver_info": DriverInfo()}


def _options(retry: object, options: dict[str, Any]) -> dict[str, Any]:
    return {
        **_driver(),
        "protocol": 2,
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": 5.0,
        "retry": retry,
        **options,
    }


def _bad_url(url: str, error: ValueError) -> ConfigurationError:
    return ConfigurationError(
        f"the Redis URL {shown(url)!r} cannot be used: {error}; expected {REDIS}"
    )


def send(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """Run calls in one round trip and answer their replies in order.

    A failed call raises its error, after all others have run. A restarted server has forgotten the
    scripts: then they are loaded and the refused calls repeated. All are loaded in one step, so that a
    server knows all or none of them: a call that is repeated must not come after one that was to follow it.
    """
    begun = time.perf_counter()
    replies = _pipeline(client, calls)
    if time.perf_counter() - begun >= slow.seconds:
        slow.scripts(begun, [call.script.name for call in calls])
    forgotten = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if forgotten:
        _load(client, [calls[i] for i in forgotten])
        again = _pipeline(client, [calls[i] for i in forgotten])
        for i, reply in zip(forgotten, again, strict=True):
            replies[i] = reply
    return _checked(replies)


def _pipeline(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    if isinstance(client, Cluster):
        return _through(client, calls)
    # What a client's pipeline does, without what a plain exchange has no use for: a third of a sender's time.
    request = b"".join([hiredis.pack_command(_command(call)) for call in calls])
    kept = client.kept if isinstance(client, Redis) else Kept(client.connection_pool, most=0)
    connection = kept.take()
    try:
        replies: list[Any] = connection.retry.call_with_retry(
            lambda: _exchange(connection, request, len(calls)),
            lambda _: connection.disconnect(),
        )
    except BaseException:
        # A time limit, say, that arrives between two replies: nobody may read the others as its own.
        kept.end(connection)
        raise
    kept.give_back(connection)
    return replies


def _through(cluster: Cluster, calls: Sequence[Call]) -> list[Any]:
    """What is not answered at once is sent again, one by one; where that fails too, none that follows in its
    slot: what was said first must not come last."""
    commands = [_command_of_cluster(call) for call in calls]
    replies = (
        cluster.at_once(commands, [call.key for call in calls])
        if len(commands) > 1
        else [UNANSWERED]
    )
    failed: dict[str, RedisError] = {}
    for i, (call, reply) in enumerate(zip(calls, replies, strict=True)):
        if reply is not UNANSWERED:
            continue
        slot = keys.none(call.key)
        if slot in failed:
            replies[i] = failed[slot]
            continue
        try:
            replies[i] = cluster.execute_command(*commands[i])
        except NoScriptError as error:
            replies[i] = error
        except RedisError as error:
            replies[i] = failed[slot] = error
    return replies


def _exchange(connection: Any, request: bytes, answers: int) -> list[Any]:
    connection.send_packed_command((request,))
    replies: list[Any] = []
    for _ in range(answers):
        try:
            replies.append(connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies


def _load(client: redis.Redis, calls: Sequence[Call]) -> None:
    servers = (
        # Not all primaries: another may be away.
        client.homes({call.key for call in calls}) if isinstance(client, Cluster) else [client]
    )
    for server in servers:
        with server.pipeline(transaction=True) as pipe:
            for script in _families(calls):
                pipe.execute_command("SCRIPT LOAD", script.source)
            pipe.execute()


async def send_async(client: redis.asyncio.Redis, calls: Sequence[Call]) -> list[Any]:
    """The same for asyncio."""
    begun = time.perf_counter()
    replies = await _pipeline_async(client, calls)
    if time.perf_counter() - begun >= slow.seconds:
        slow.scripts(begun, [call.script.name for call in calls])
    forgotten = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if forgotten:
        await _load_async(client, [calls[i] for i in forgotten])
        again = await _pipeline_async(client, [calls[i] for i in forgotten])
        for i, reply in zip(forgotten, again, strict=True):
            replies[i] = reply
    return _checked(replies)


async def server_time(client: redis.asyncio.Redis) -> int:
    """The server's clock, in microseconds since 1970; of a cluster the one that is ahead."""
    found: Any = await client.time()
    times = list(found.values()) if isinstance(found, dict) else [found]
    return max(int(seconds) * 1_000_000 + int(part) for seconds, part in times)


async def _pipeline_async(client: redis.asyncio.Redis, calls: Sequence[Call]) -> list[Any]:
    cluster: object = client
    if isinstance(cluster, redis.asyncio.cluster.RedisCluster):
        return await _through_async(cluster, calls)
    async with client.pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.execute_command(*_command(call))
        return list(await pipe.execute(raise_on_error=False))


async def _through_async(
    cluster: redis.asyncio.cluster.RedisCluster, calls: Sequence[Call]
) -> list[Any]:
    """All slots at once, and in each one call after the other, as in `_through`."""
    replies: list[Any] = [None] * len(calls)
    slots: dict[str, list[int]] = {}
    for i, call in enumerate(calls):
        slots.setdefault(keys.none(call.key), []).append(i)

    async def send_slot(places: Sequence[int]) -> None:
        failed: RedisError | None = None
        for i in places:
            if failed is not None:
                replies[i] = failed
                continue
            try:
                replies[i] = await cluster.execute_command(*_command_of_cluster(calls[i]))
            except NoScriptError as error:
                replies[i] = error
            except RedisError as error:
                replies[i] = failed = error

    await asyncio.gather(*map(send_slot, slots.values()))
    return replies


async def _load_async(client: redis.asyncio.Redis, calls: Sequence[Call]) -> None:
    cluster: object = client
    if isinstance(cluster, redis.asyncio.cluster.RedisCluster):
        # One by one: what is sent together from here is calls of one script.
        for node in homes(cluster, {call.key for call in calls}):
            for script in _families(calls):
                await node.execute_command("SCRIPT LOAD", script.source)
        return
    async with client.pipeline(transaction=True) as pipe:
        for script in _families(calls):
            pipe.execute_command("SCRIPT LOAD", script.source)
        await pipe.execute()


def _families(calls: Sequence[Call]) -> set[Script]:
    return {script for call in calls for script in call.family}


def _command(call: Call) -> tuple[Any, ...]:
    return ("EVALSHA", call.script.sha, 1, call.key, *call.args)


def _command_of_cluster(call: Call) -> tuple[Any, ...]:
    return ("EVALSHA", call.script.sha, 2, call.key, keys.none(call.key), *call.args)


def _checked(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, ClusterError) and not isinstance(reply, ClusterDownError):
            raise TryAgainError("a slot moves between nodes of the cluster: try again") from reply
        if isinstance(reply, Exception):
            raise reply
    return replies
