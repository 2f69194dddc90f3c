"""Owns how what happened in a worker becomes the outcome of an attempt. Pure."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec
from dramatiq import ActorNotFound
from dramatiq.middleware import MiddlewareError, TimeLimitExceeded

from triton.broker.interrupts import CancelRequested, Snooze, SoftTimeLimit
from triton.broker.proxy import JobProxy
from triton.errors import ErasedError
from triton.events.codec import encode_data, storable
from triton.events.scripts import Packed, pack_ending
from triton.events.types import (
    Cancelled,
    Completed,
    Error,
    EventData,
    Failed,
    RetryScheduled,
    Snoozed,
    type_of,
)
from triton.references import MARK, MAX_ARCHIVED, Reference, reference_in

if TYPE_CHECKING:
    from triton.erasure.attempt import Attempt

#: Bytes of an encoded result in the log at most.
MAX_RESULT: Final = 64 * 1024
#: Characters kept of an exception's message and of the end of its traceback.
MAX_MESSAGE: Final = 2_000
MAX_TRACEBACK: Final = 6_000


#: Archives an encoded result. Answers None where there is no archive.
Keep: TypeAlias = Callable[[bytes], Reference | None]
_encode: Final = msgspec.msgpack.Encoder().encode


class Outcome(NamedTuple):
    """How an attempt ended: the event's type and encoded data."""

    kind: str
    data: bytes
    delay_us: int = 0
    body: bytes = b""


_NOTHING_RETURNED: Final = Outcome("job.completed", encode_data(Completed()))


def outcome_of(proxy: JobProxy, *, failed: bool, keep: Keep | None = None) -> Outcome:
    """The outcome at ack (failed=False) or nack (failed=True); `keep` archives a large result."""
    exception = proxy.failure
    if exception is None and proxy.after_actor and not failed and proxy.retry is None:
        return completed(proxy.result, keep, proxy.personal)
    if isinstance(exception, CancelRequested):
        return _outcome(Cancelled(reason="cancelled while running"))
    if isinstance(exception, Snooze):
        return _outcome(Snoozed(reason=exception.reason), exception.delay)
    if failed:
        # Refused before the actor ran: unknown actor, too old (AgeLimit), or another middleware's doing.
        refused = isinstance(exception, ActorNotFound | MiddlewareError) or not proxy.after_actor
        return rejected(exception) if refused else failure(exception, proxy.personal)
    if proxy.retry is not None:
        message, delay = proxy.retry
        retries = message.options.get("retries", 0)
        data = RetryScheduled(
            error=error_of(exception, proxy.personal) if exception else Error(type="Retry"),
            retries=retries if isinstance(retries, int) else 0,
        )
        return _outcome(data, delay, proxy.as_submitted(message).encode())
    if not proxy.after_actor:
        # An interrupt ended the worker's thread before any hook ran, so nobody has decided: run it again.
        return _outcome(RetryScheduled(error=error_of(exception or InterruptedError())))
    # An application without the Retries middleware: Dramatiq calls such a message done, we don't.
    return failure(exception, proxy.personal)


def completed(result: Any, keep: Keep | None = None, personal: Attempt | None = None) -> Outcome:
    """Completed with the result, with a reference to it, or with the reason why it is not kept.

    `personal` seals what is personal of it.
    """
    if result is None:
        return _NOTHING_RETURNED
    try:
        data = encode_data(Completed(result=result))
    except Exception as error:
        return _omitted(
            f"a result of type {type(result).__name__} is no plain data: {_said(error)}"
        )
    if reference_in(result) is not None:
        return _omitted(f"the result is named {MARK}, which is Triton's own")
    if personal is not None:
        result = personal.result(result)
        data = encode_data(Completed(result=result))
    if len(data) <= MAX_RESULT:
        return Outcome("job.completed", data)
    size = f"the result has {len(data)} bytes"
    if len(data) > MAX_ARCHIVED:
        return _omitted(f"{size}, at most {MAX_ARCHIVED} are kept: store it and return a reference")
    try:
        reference = keep(_encode(result)) if keep is not None else None
    except Exception as error:
        return _omitted(f"{size}, and the archive did not take it: {_said(error)}")
    if reference is None:
        return _omitted(
            f"{size}, at most {MAX_RESULT} are kept in the log: "
            "set TRITON_ARCHIVE_URL, so that larger ones go into the archive"
        )
    return _outcome(Completed(result=reference.marked()))


def _omitted(reason: str) -> Outcome:
    return _outcome(Completed(omitted=storable(reason)[:MAX_MESSAGE]))


def failure(exception: BaseException | None, personal: Attempt | None = None) -> Outcome:
    """The actor raised, and is not tried again."""
    error = (
        error_of(exception, personal)
        if exception
        else Error(type="Failed", message="marked as failed")
    )
    limit = isinstance(exception, TimeLimitExceeded | SoftTimeLimit)
    erased = isinstance(exception, ErasedError)
    reason = "time_limit" if limit else "erased" if erased else "error"
    return _outcome(Failed(error=error, reason=reason))


def rejected(exception: BaseException | None) -> Outcome:
    """The message could not be run."""
    error = error_of(exception) if exception else Error(type="Rejected", message="nacked")
    return _outcome(Failed(error=error, reason="rejected"))


def error_of(exception: BaseException, personal: Attempt | None = None) -> Error:
    """What the log keeps of an exception."""
    lines = traceback.format_exception(exception)
    error = Error(
        type=storable(type(exception).__name__),
        message=storable(_said(exception))[:MAX_MESSAGE],
        traceback=storable("".join(lines))[-MAX_TRACEBACK:],
    )
    return error if personal is None else personal.error(error)


def pack(proxy: JobProxy, by: str, outcome: Outcome) -> Packed:
    """The outcome as the finish script takes it, with the messages that follow from it."""
    claimed = proxy.claimed
    return pack_ending(
        claimed.job,
        claimed.attempt,
        by,
        outcome.kind,
        outcome.data,
        delay=outcome.delay_us,
        body=outcome.body,
        outbox=tuple(proxy.outbox),
    )


def _outcome(data: EventData, delay_ms: float = 0, body: bytes = b"") -> Outcome:
    return Outcome(type_of(data), encode_data(data), int(max(0, delay_ms) * 1000), body)


def _said(exception: BaseException) -> str:
    try:
        return str(exception)
    except Exception:
        return "(the exception's str() failed)"
