"""Owns what an actor can ask of its own job: progress, output, cancellation, ids."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar, cast

from triton.broker.interrupts import Snooze
from triton.current import current_proxy as current_proxy

if TYPE_CHECKING:
    from triton.broker.proxy import JobProxy

P = ParamSpec("P")
T = TypeVar("T")


class Job:
    """The running job as its own actor sees it. Safe to use from any thread of the actor."""

    def __init__(self, proxy: JobProxy) -> None:
        self._proxy = proxy

    @property
    def id(self) -> str:
        """Its message's id."""
        return self._proxy.claimed.job

    @property
    def attempt(self) -> int:
        """Which lease this is, from 1; rises with every start, whatever ended the one before."""
        return self._proxy.claimed.attempt

    @property
    def queue(self) -> str:
        """The queue that it was submitted to."""
        return self._proxy.claimed.queue

    @property
    def tenant(self) -> str:
        """Whose job it is."""
        return self._proxy.claimed.tenant

    @property
    def correlation(self) -> str:
        """What the job belongs to; where nothing was said at submit the id of its request, or its own."""
        return self._proxy.claimed.correlation or self._proxy.claimed.job

    @property
    def traceparent(self) -> str:
        """W3C trace context of who submitted it, or empty."""
        return self._proxy.claimed.traceparent

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for the job's end, or its lease was lost."""
        return self._proxy.cancel_requested or self._proxy.lease_lost

    def progress(self, percent: float, stage: str = "") -> None:
        """Say how far the job is, 0 to 100. Cheap: about ten a second at most reach the log, and the last
        one always does. Raises ValueError for a percent out of range, TypeError for what is no number or
        no text.
        """
        # `float` would take a text too.
        value = math.fsum((percent,))
        if not 0 <= value <= 100:
            raise ValueError(f"percent is {percent!r}, expected 0 to 100")
        _text("stage", stage)
        self._proxy.reports.progress(value, stage)

    def output(self, chunk: str) -> None:
        """Stream a piece of output. Pieces are joined for up to 50 ms or 16,384 characters.

        Raises TypeError for what is no text.
        """
        _text("the output", chunk)
        self._proxy.reports.output(chunk)

    def snooze(self, delay: int, reason: str = "") -> NoReturn:
        """Raise `Snooze`: run the job again in `delay` milliseconds, which counts as no failure."""
        raise Snooze(delay, reason)

    def step(self, name: str, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn` once for all attempts of this job: a later one gets the recorded result instead.

        The result is in the log before this returns, so what comes after it may rely on it, whatever
        happens to the worker. It is plain data, and comes back as the log keeps it (a tuple as a list).
        What `fn` raises is not recorded: the next attempt calls it again. A worker that dies between the
        end of `fn` and the record calls it again too: make its effect idempotent under `job.id` and name.

        Raises StepError for a name that this attempt has used, a result that is no plain data or too large
        (64 KiB, 16 MiB with an archive), or an asynchronous `fn` (see `astep`); LeaseLost where the job is
        another worker's.
        """
        return cast("T", self._proxy.steps.run(name, lambda: fn(*args, **kwargs)))

    async def astep(
        self, name: str, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a coroutine function, in an asynchronous actor."""
        return cast("T", await self._proxy.steps.run_async(name, lambda: fn(*args, **kwargs)))


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        # Said here, where the actor hears of it, and not where the log is written.
        raise TypeError(f"{name} is of type {type(value).__name__}, expected a text (str)")


def current_job() -> Job:
    """The job that the calling actor runs for. Raises RuntimeError outside an actor."""
    proxy = current_proxy.get()
    if proxy is None:
        raise RuntimeError(
            "triton.current_job() was called outside an actor that a TritonBroker's worker runs"
        )
    return Job(proxy)


def step(name: str, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A durable step of the job that the calling actor runs for: see `Job.step`."""
    return current_job().step(name, fn, *args, **kwargs)


async def astep(name: str, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """A durable asynchronous step of the job that the calling actor runs for: see `Job.step`."""
    return await current_job().astep(name, fn, *args, **kwargs)
