"""Owns following one partition of the log into its ring, through every trouble that Redis can have.

The log is opened by a client that does not repeat calls by itself: each lost connection shows here, and
before the tail goes on it compares the log with what it read last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from triton import keys
from triton.errors import HoleError, LogError, LogForkedError, UnavailableError, no_answer
from triton.events.log import Checkpoint, Entry, Log
from triton.feed.ring import Ring
from triton.observe.logger import get_logger

#: Entries that a new ring is filled with, so that who comes back after a restart needs no history.
WARM: Final = 2048
_BLOCK_MS: Final = 4000
_COUNT: Final = 1000
#: Of these, so many are looked at before others have a turn: requests are answered while a tail catches up.
_TURN: Final = 100
#: Under load a read waits this many seconds for company: a round trip costs more than ten entries.
_GAP: Final = 0.005
#: Seconds between two looks whether it is still the same log, where entries come.
_LOOK: Final = 2.0
#: Seconds between two tries to mend what broke.
_AGAIN: Final = 0.5

_log = get_logger("triton.feed")


class Tail:
    """One partition's reader. `trouble` says in a sentence why it stands still, empty when it runs."""

    def __init__(
        self,
        partition: int,
        log: Log,
        open_log: Callable[[], Awaitable[Log]],
        *,
        new_ring: Callable[[Log, int, int], Ring],
        on_entries: Callable[[Ring, Sequence[Entry]], None],
        on_break: Callable[[int, Literal["log"]], None],
    ) -> None:
        self.partition = partition
        self.log = log
        self.trouble = ""
        self._open_log = open_log
        self._new_ring = new_ring
        self._on_entries = on_entries
        self._on_break = on_break
        #: Where the log was read when it was last known to be the same.
        self._home = ""
        self.ring = new_ring(log, partition, 0)

    async def begin(self) -> None:
        """A new ring with the newest entries of the log. Raises LogError, RedisError."""
        self._home = self.log.home(self.partition)
        while True:
            last = await self.log.position(self.partition)
            first = await self.log.first_position(self.partition)
            after = max(first - 1, last - WARM) if first else last
            self.ring = self._new_ring(self.log, self.partition, after)
            try:
                while entries := await self.log.range(self.partition, self.ring.last, count=_COUNT):
                    self._on_entries(self.ring, entries)
            except HoleError:
                # What an archiver trimmed between two of these calls is no hole.
                if 0 < await self.log.first_position(self.partition) <= self.ring.last + 1:
                    raise
            else:
                return

    async def run(self) -> None:
        """Follow for ever; a task that is cancelled at the end."""
        while True:
            try:
                await self._follow()
            except LogError as error:
                self._break(error.message)
            except RedisTimeoutError:
                # It may be we who hung, or the machine: nobody is told before Redis was asked once more.
                await self._mended()
            except (RedisError, OSError, UnavailableError) as error:
                self._stand(_away(error))
            except Exception as error:
                self._fail(error)
            while self.trouble:
                await asyncio.sleep(_AGAIN)
                await self._mended()

    async def _mended(self) -> None:
        """Try to go on; `trouble` says why it cannot."""
        try:
            await self._mend()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """A bug, ours or the client's, must not leave the feed silent: begin again, and say so."""
        trouble = f"{type(error).__name__}: {error}"
        if trouble != self.trouble:
            _log.exception("feed_failed", partition=self.partition)
        self._break(trouble)

    def _break(self, trouble: str) -> None:
        self._stand(trouble)
        self._on_break(self.partition, "log")

    def _stand(self, trouble: str) -> None:
        if trouble != self.trouble:
            _log.warning("feed_stands_still", partition=self.partition, reason=trouble)
        self.trouble = trouble

    async def _mend(self) -> None:
        """Go on where the ring ends; with a new ring where the log has another life now, or where what
        follows was trimmed before it was read (streams come back through history then)."""
        try:
            log = await self._open_log()
            same = log.epochs[self.partition] == self.log.epochs[self.partition]
            self.log = log
            home = log.home(self.partition)
            if same and await self._continues():
                self._home = home
            else:
                self._on_break(self.partition, "log")
                await self.begin()
        except LogError as error:
            self._break(error.message)
        except (RedisError, OSError, UnavailableError) as error:
            self._stand(_away(error))
        else:
            self.trouble = ""
            _log.info("feed_goes_on", partition=self.partition, position=self.ring.last)

    async def _continues(self) -> bool:
        """Whether the ring can be continued. Raises LogForkedError where it was read from another log."""
        newest = self.ring.newest()
        try:
            if newest is not None:
                epoch = self.log.epochs[self.partition]
                checkpoint = Checkpoint(epoch, self.ring.last, newest.digest())
                await self.log.validate(self.partition, checkpoint)
            await self._still_there()
        except HoleError:
            return False
        return True

    async def _still_there(self) -> None:
        last = await self.log.position(self.partition)
        if last < self.ring.last:
            raise LogForkedError(
                f"partition {self.partition} ends at {last}, but {self.ring.last} was read from it "
                "before: its tail was lost",
                partition=self.partition,
                position=self.ring.last,
            )
        # A log that was adopted goes on at the same positions.
        meta = keys.meta(self.log.prefix(self.partition))
        raw: Any = await self.log.client.hget(meta, "epoch")
        epoch, before = (raw or b"").decode(), self.log.epochs[self.partition]
        if epoch != before:
            raise LogForkedError(
                f"partition {self.partition} has epoch {epoch} now, and was read in {before}: a log was "
                "adopted, or restored",
                partition=self.partition,
                position=self.ring.last,
            )

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        before = looked = 0.0
        while True:
            entries = await self.log.wait(
                self.partition, self.ring.last, block_ms=_BLOCK_MS, count=_COUNT
            )
            if (home := self.log.home(self.partition)) != self._home:
                # The client went there by itself; what it read may be the log of a replica that was behind.
                self._stand(f"the partition is read from {home} now")
                return
            if not entries or loop.time() - looked >= _LOOK:
                # A log that was deleted or emptied under us answers nothing, for ever.
                await self._still_there()
                looked = loop.time()
            for begin in range(0, len(entries), _TURN):
                if begin:
                    await asyncio.sleep(0)
                self._on_entries(self.ring, entries[begin : begin + _TURN])
            now = loop.time()
            if now - before < 4 * _GAP and len(entries) < _COUNT:
                await asyncio.sleep(_GAP)
            before = now


def _away(error: Exception) -> str:
    return error.message if isinstance(error, UnavailableError) else no_answer("Redis", error)
