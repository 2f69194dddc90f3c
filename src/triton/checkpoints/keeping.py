"""Owns keeping a leased reader of the log alive: standby, work, and again after what may pass."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar, Final, TypeVar

import msgspec
import psycopg
from redis.exceptions import RedisError

from triton.checkpoints.lease import LEASE_SECONDS, Lease, new_owner
from triton.errors import EvidenceError, FencedError, LogError, TritonError, UnavailableError
from triton.events.log import Log
from triton.events.troubles import Kind, note_trouble
from triton.observe.cursors import AsyncCursor
from triton.observe.logger import get_logger
from triton.observe.signs import Part, signs
from triton.postgres import connected

#: Seconds until what failed is tried again: at first, and at most.
_FIRST: Final = 0.1
_LONGEST: Final = 10.0
T = TypeVar("T")


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a reader waits, in seconds."""

    #: Until who holds the lease, and says nothing, is replaced.
    lease: float = LEASE_SECONDS
    #: Between two looks of a standby at its lease.
    standby: float = 1.0
    #: Between two looks at a log or an archive that broke a promise: a person has to decide.
    halted: float = 30.0


PATIENCE: Final = Patience()


class Keeping(abc.ABC):
    """Keeps one reader of one partition running. Its subclasses say what it does under its lease."""

    #: What the process's log calls it.
    word: ClassVar[str]
    #: After these a person has to decide.
    halts: ClassVar[tuple[type[TritonError], ...]] = (LogError, EvidenceError)

    def __init__(
        self,
        log: Log,
        database_url: str,
        partition: int,
        *,
        patience: Patience = PATIENCE,
        part: Part | None = None,
    ) -> None:
        self.log = log
        #: Moved on by whoever gets somewhere, or waits for its turn.
        self.part = part or Part()
        self._database_url = database_url
        self._partition = partition
        self._patience = patience
        self._owner = new_owner()
        self.say = get_logger(f"triton.{self.word}").bind(partition=partition)

    @abc.abstractmethod
    async def once(self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event) -> None:
        """Take the lease (see `lease`) and work until `stop` is set."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Errors of engines, of the log and of the archive are logged, others raised."""
        delay = _FIRST
        halted = False
        while not stop.is_set():
            begun = time.monotonic()
            wait = delay
            try:
                if halted:
                    await self.log.refresh()
                    halted = False
                async with connected(self._database_url, cursor_factory=AsyncCursor) as connection:
                    await self.once(connection, stop)
                continue
            except FencedError as error:
                self.say.warning(f"{self.word}.replaced", error=error.message)
                await self.count("replaced")
            except self.halts as error:
                wait, halted = self._patience.halted, True
                self.say.error(f"{self.word}.halted", code=error.code, error=error.message)
                await self.count("halted")
            except psycopg.errors.UndefinedTable as error:
                advice = "run `triton migrate up`"
                self.say.error(f"{self.word}.no_schema", error=str(error), advice=advice)
                await self.count("no_schema")
            except (UnavailableError, RedisError, psycopg.Error, OSError) as error:
                self.say.warning(f"{self.word}.waiting", error=str(error), again_in_seconds=wait)
                await self.count("waiting")
            await pause(stop, wait)
            worked = time.monotonic() - begun > _LONGEST + wait
            delay = _FIRST if worked else min(delay * 2, _LONGEST)

    async def count(self, kind: Kind) -> None:
        """Trouble, for `/metrics`."""
        await note_trouble(self.log.client, self.log.namespace, self.word, kind)

    async def lease(
        self, connection: psycopg.AsyncConnection[Any], name: str, stop: asyncio.Event
    ) -> Lease | None:
        """The lease of a checkpoint, as soon as nobody else holds it; None when told to stop before."""
        standby = False
        while not stop.is_set():
            lease = await Lease.acquire(
                connection,
                name,
                self._partition,
                epoch=self.log.epochs[self._partition],
                owner=self._owner,
                seconds=self._patience.lease,
            )
            if lease is not None:
                return lease
            if not standby:
                self.say.info(f"{self.word}.standby", checkpoint=name)
                standby = True
            self.part.moved()
            await pause(stop, self._patience.standby)
        return None


async def opened(word: str, open_it: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T | None:
    """What is opened, as soon as its engines answer; None when told to stop before."""
    say = get_logger(f"triton.{word}")
    delay = _FIRST
    signs.part("log")
    while not stop.is_set():
        try:
            found = await open_it()
        except UnavailableError as error:
            say.warning(f"{word}.waiting", error=error.message, again_in_seconds=delay)
            await pause(stop, delay)
            delay = min(delay * 2, _LONGEST)
        else:
            signs.leave("log")
            return found
    return None


@contextlib.asynccontextmanager
async def released(lease: Lease) -> AsyncIterator[None]:
    """Gives the lease back at the end, where the connection still stands."""
    try:
        yield
    finally:
        with contextlib.suppress(psycopg.Error):
            await lease.release()


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Let so many seconds go by; fewer where `stop` is set meanwhile."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
