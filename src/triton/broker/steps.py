"""Owns durable steps: what of an actor's work is recorded, so that a later attempt does not do it again."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec

from triton.broker.interrupts import LeaseLost
from triton.broker.reports import Reports
from triton.errors import StepError
from triton.events.codec import decode_data, encode_data
from triton.events.types import SCHEMA, StepCompleted
from triton.payloads import Payloads
from triton.references import MARK, MAX_ARCHIVED, reference_in

if TYPE_CHECKING:
    from triton.erasure.attempt import Attempt

#: Characters of a step's name at most.
MAX_STEP_NAME: Final = 200
#: Bytes of a step's encoded result in the log at most; a larger one goes into the archive, by reference.
MAX_STEP: Final = 64 * 1024
#: Seconds between two looks whether the lease still stands: an interrupt arrives at such a look.
_LOOK: Final = 0.1


class Lease(Protocol):
    """What a step needs of the job's lease."""

    @property
    def reports(self) -> Reports: ...

    @property
    def over(self) -> bool:
        """Whether nothing that the attempt says will reach the log any more."""

    @property
    def payloads(self) -> Payloads | None:
        """The way of large results into the archive."""

    @property
    def personal(self) -> Attempt | None:
        """What seals the results of a job with personal data."""

    def recorded_steps(self) -> Mapping[bytes, bytes]:
        """Encoded `job.step_completed` data by the names of the steps that earlier attempts recorded."""


class Steps:
    """The steps of one attempt; made with the first one. Safe to use from any thread."""

    def __init__(self, lease: Lease, attempt: int) -> None:
        self._lease = lease
        self._lock = threading.Lock()
        #: Held during a round trip, so never where an event loop runs.
        self._reading = threading.Lock()
        self._begun: set[str] = set()
        # No attempt came before the first one: it has nothing to read.
        self._recorded: Mapping[bytes, bytes] | None = {} if attempt == 1 else None

    def run(self, name: str, fn: Callable[[], Any]) -> Any:
        self._begin(name)
        try:
            recorded = self._find(name)
            if recorded is not None:
                return self._result(name, recorded)
            result = fn()
            if inspect.isawaitable(result):
                if inspect.iscoroutine(result):
                    result.close()
                raise StepError(
                    f"the step {name!r} is asynchronous: write `await triton.astep({name!r}, ...)`"
                )
            done = self._completed(name, result)
            self._committed(name, self._lease.reports.step(done))
        except BaseException:
            self._forget(name)
            raise
        return _as_kept(result)

    async def run_async(self, name: str, fn: Callable[[], Awaitable[Any]]) -> Any:
        self._begin(name)
        try:
            # A round trip at most once per attempt: the other jobs of this event loop go on meanwhile.
            unread = self._recorded is None
            recorded = await asyncio.to_thread(self._find, name) if unread else self._find(name)
            if recorded is not None:
                return await asyncio.to_thread(self._result, name, recorded)
            result = await fn()
            done = await asyncio.to_thread(self._completed, name, result)
            await self._committed_async(name, self._lease.reports.step(done))
        except BaseException:
            self._forget(name)
            raise
        return _as_kept(result)

    def _completed(self, name: str, result: object) -> StepCompleted:
        """What is recorded. Raises StepError, UnavailableError (the archive)."""
        done = StepCompleted(name=name, result=result)
        try:
            size = len(encode_data(done))
        except Exception as error:
            raise StepError(
                f"the step {name!r} returned a value of type {type(result).__name__} that is no plain "
                f"data ({error}): return numbers, text, lists and dicts, or nothing"
            ) from error
        if reference_in(result) is not None:
            raise StepError(
                f"the step {name!r} returned a dict named {MARK}, which is Triton's own"
            )
        personal = self._lease.personal
        if personal is not None:
            result = personal.step(name, result)
            done = StepCompleted(name=name, result=result)
            size = len(encode_data(done))
        if size <= MAX_STEP:
            return done
        too_large = f"the step {name!r} returned {size} bytes, at most"
        if size > MAX_ARCHIVED:
            raise StepError(
                f"{too_large} {MAX_ARCHIVED} are recorded: put the data into the archive yourself, and "
                "return a reference"
            )
        payloads = self._lease.payloads
        reference = payloads.keep(msgspec.msgpack.encode(result)) if payloads else None
        if reference is None:
            raise StepError(
                f"{too_large} {MAX_STEP} are recorded in the log: set TRITON_ARCHIVE_URL, so that larger "
                "ones go into the archive"
            )
        return StepCompleted(name=name, result=reference.marked())

    def _result(self, name: str, recorded: bytes) -> Any:
        """What an earlier attempt recorded. Raises NotFoundError, DecodeError, UnavailableError."""
        value = cast("StepCompleted", decode_data("job.step_completed", SCHEMA, recorded)).result
        reference = reference_in(value)
        if reference is not None and self._lease.payloads is not None:
            value = msgspec.msgpack.decode(self._lease.payloads.fetch(reference))
        personal = self._lease.personal
        return value if personal is None else personal.open_step(name, value)

    def _begin(self, name: str) -> None:
        if (
            not isinstance(name, str)
            or not 0 < len(name) <= MAX_STEP_NAME
            or not name.isprintable()
        ):
            raise StepError(
                f"a step's name is {name!r}, expected 1 to {MAX_STEP_NAME} printable characters"
            )
        with self._lock:
            if name in self._begun:
                raise StepError(
                    f"the step {name!r} runs twice in one attempt: its name says which result is meant, "
                    "so give each step a name of its own (in a loop: with the item's id in it)"
                )
            self._begun.add(name)

    def _forget(self, name: str) -> None:
        """The step failed: the actor may try it again."""
        with self._lock:
            self._begun.discard(name)

    def _find(self, name: str) -> bytes | None:
        recorded = self._recorded
        if recorded is None:
            with self._reading:
                if self._recorded is None:
                    self._recorded = self._lease.recorded_steps()
                recorded = self._recorded
        return recorded.get(name.encode())

    def _committed(self, name: str, receipt: Future[str]) -> None:
        while not receipt.done():
            if self._lease.over:
                raise LeaseLost
            try:
                receipt.result(_LOOK)
            except TimeoutError:
                continue
        _check(name, receipt.result())

    async def _committed_async(self, name: str, receipt: Future[str]) -> None:
        answer = asyncio.wrap_future(receipt)
        while not answer.done():
            if self._lease.over:
                raise LeaseLost
            await asyncio.wait({answer}, timeout=_LOOK)
        _check(name, answer.result())


def _check(name: str, answer: str) -> None:
    if answer in ("ok", "already"):
        return
    if answer in ("stale", "missing"):
        raise LeaseLost
    raise StepError(f"the step {name!r} was done, and the log refused it: {answer}")


def _as_kept(result: object) -> Any:
    """What a later attempt gets, so that each attempt gets the same: a tuple is a list, say."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(result))
