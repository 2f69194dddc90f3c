"""Owns clients of Redis that log what took long: the names of commands, never a key or a value."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import redis
import redis.asyncio
import redis.asyncio.client
import redis.client

from triton.events.connections import Kept
from triton.observe.slow import calls

#: Those that wait because they were asked to.
_WAITING: Final = frozenset(
    {"BLPOP", "BRPOP", "BLMOVE", "BZPOPMIN", "XREAD", "XREADGROUP", "WAIT", "WAITAOF"}
)
#: Told by `triton.events.client`, which knows their names.
_SCRIPTS: Final = frozenset({"EVALSHA"})


class _Pipeline(redis.client.Pipeline):
    def execute(self, *args: Any, **options: Any) -> Any:
        # It is emptied at the end.
        commands, begun = self.command_stack, time.perf_counter()
        try:
            return super().execute(*args, **options)
        finally:
            if time.perf_counter() - begun >= calls.seconds:
                _told(begun, [str(one[0][0]) for one in commands])


class Redis(redis.Redis):
    """redis-py's own, with a look at the clock."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: What script calls go over (see `triton.events.client`).
        self.kept = Kept(self.connection_pool)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        finally:
            if time.perf_counter() - begun >= calls.seconds:
                _told(begun, [str(args[0])])

    def pipeline(self, *args: Any, **options: Any) -> Any:
        found: Any = super().pipeline(*args, **options)
        # However this version of redis-py makes one.
        found.__class__ = _Pipeline
        return found


class _AsyncPipeline(redis.asyncio.client.Pipeline):
    async def execute(self, *args: Any, **options: Any) -> Any:
        commands, begun = self.command_stack, time.perf_counter()
        try:
            return await super().execute(*args, **options)
        finally:
            if time.perf_counter() - begun >= calls.seconds:
                _told(begun, [str(one[0][0]) for one in commands])


class AsyncRedis(redis.asyncio.Redis):
    """The same for asyncio."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        finally:
            if time.perf_counter() - begun >= calls.seconds:
                _told(begun, [str(args[0])])

    def pipeline(self, *args: Any, **options: Any) -> Any:
        found: Any = super().pipeline(*args, **options)
        found.__class__ = _AsyncPipeline
        return found


def _told(begun: float, names: Sequence[str]) -> None:
    found = set(names)
    if found and not found <= _SCRIPTS and not found & _WAITING:
        calls.since(begun, "redis", "+".join(sorted(found)), calls=len(names))
