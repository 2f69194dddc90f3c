"""Owns how script calls reach Redis: connections, and the one rule for scripts the server forgot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from triton.errors import ConfigurationError
from triton.events.scripts import Call, Script

#: Seconds without an answer after which a call is repeated on a new connection.
SOCKET_TIMEOUT: Final = 10.0
_RETRIES: Final = 4
_RAW: Final = ("XRANGE", "XREAD")


def connect(url: str, **options: Any) -> redis.Redis:
    """A client for scripts and reads; connects when first used. Repeats by itself what failed.

    Stream replies are left as they come from the wire. Raises ConfigurationError for a bad URL.
    """
    retry = Retry(ExponentialBackoff(cap=1.0, base=0.05), _RETRIES)
    try:
        client = redis.Redis.from_url(url, **_options(retry, options))
    except ValueError as error:
        raise _bad_url(url, error) from error
    for command in _RAW:
        client.set_response_callback(command, _as_is)
    return client


def connect_async(url: str, **options: Any) -> redis.asyncio.Redis:
    """The same for asyncio."""
    retry = AsyncRetry(ExponentialBackoff(cap=1.0, base=0.05), _RETRIES)
    try:
        client = redis.asyncio.Redis.from_url(url, **_options(retry, options))
    except ValueError as error:
        raise _bad_url(url, error) from error
    for command in _RAW:
        client.set_response_callback(command, _as_is)
    return client


def _options(retry: object, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": 5.0,
        "retry": retry,
        **options,
    }


def _bad_url(url: str, error: ValueError) -> ConfigurationError:
    return ConfigurationError(
        f"the Redis URL {url!r} cannot be used: {error}; expected redis://host:port/db, "
        "rediss://..., or unix:///path/to/socket?db=0"
    )


def _as_is(response: Any, **_: Any) -> Any:
    return response


def send(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """Run calls in one round trip and answer their replies in order.

    A failed call raises its error, after all others have run. A restarted server has forgotten the
    scripts: then they are loaded and the refused calls repeated. All are loaded in one step, so that a
    server knows all or none of them: a call that is repeated must not come after one that was to follow it.
    """
    replies = _pipeline(client, calls)
    forgotten = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if forgotten:
        with client.pipeline(transaction=True) as pipe:
            for script in _families(calls, forgotten):
                pipe.execute_command("SCRIPT LOAD", script.source)
            pipe.execute()
        again = _pipeline(client, [calls[i] for i in forgotten])
        for i, reply in zip(forgotten, again, strict=True):
            replies[i] = reply
    return _checked(replies)


def _pipeline(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    if len(calls) == 1:
        try:
            return [client.execute_command(*_command(calls[0]))]
        except NoScriptError as error:
            return [error]
    with client.pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.execute_command(*_command(call))
        return list(pipe.execute(raise_on_error=False))


async def send_async(client: redis.asyncio.Redis, calls: Sequence[Call]) -> list[Any]:
    """The same for asyncio."""
    replies = await _pipeline_async(client, calls)
    forgotten = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if forgotten:
        async with client.pipeline(transaction=True) as pipe:
            for script in _families(calls, forgotten):
                pipe.execute_command("SCRIPT LOAD", script.source)
            await pipe.execute()
        again = await _pipeline_async(client, [calls[i] for i in forgotten])
        for i, reply in zip(forgotten, again, strict=True):
            replies[i] = reply
    return _checked(replies)


async def _pipeline_async(client: redis.asyncio.Redis, calls: Sequence[Call]) -> list[Any]:
    async with client.pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.execute_command(*_command(call))
        return list(await pipe.execute(raise_on_error=False))


def _families(calls: Sequence[Call], forgotten: Sequence[int]) -> set[Script]:
    return {script for i in forgotten for script in calls[i].family}


def _command(call: Call) -> tuple[Any, ...]:
    return ("EVALSHA", call.script.sha, 1, call.key, *call.args)


def _checked(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
