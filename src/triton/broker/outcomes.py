"""Owns how what happened in a worker becomes the outcome of an attempt. Pure."""

from __future__ import annotations

import traceback
from typing import Any, Final, NamedTuple

from dramatiq import ActorNotFound
from dramatiq.middleware import MiddlewareError

from triton.broker.context import CancelRequested, Snooze
from triton.broker.proxy import JobProxy
from triton.events.codec import encode_data
from triton.events.scripts import Packed, pack_outcome
from triton.events.types import Cancelled, Completed, Error, Failed, RetryScheduled, Snoozed

#: Bytes of an encoded result at most; larger ones belong into the archive, by reference.
MAX_RESULT: Final = 64 * 1024
#: Characters kept of an exception's message and of the end of its traceback.
MAX_MESSAGE: Final = 2_000
MAX_TRACEBACK: Final = 6_000


class Outcome(NamedTuple):
    data: Completed | Failed | Cancelled | RetryScheduled | Snoozed
    delay_us: int = 0
    body: bytes = b""


def outcome_of(proxy: JobProxy, *, failed: bool) -> Outcome:
    """The outcome at ack (failed=False) or nack (failed=True)."""
    exception = proxy.failure
    if isinstance(exception, CancelRequested):
        return Outcome(Cancelled(reason="cancelled while running"))
    if isinstance(exception, Snooze):
        return Outcome(Snoozed(reason=exception.reason), exception.delay * 1000)
    if failed:
        # Refused before the actor ran: unknown actor, too old (AgeLimit), or another middleware's doing.
        rejected = isinstance(exception, ActorNotFound | MiddlewareError) or not proxy.after_actor
        error = error_of(exception) if exception else Error(type="Rejected", message="nacked")
        return Outcome(Failed(error=error, reason="rejected" if rejected else "error"))
    if proxy.retry_delay is not None:
        error = error_of(exception) if exception else Error(type="Retry")
        retries = proxy.options.get("retries", 0)
        return Outcome(
            RetryScheduled(error=error, retries=retries if isinstance(retries, int) else 0),
            max(0, proxy.retry_delay) * 1000,
            proxy.message.encode(),
        )
    if proxy.exception is not None:
        # An application without the Retries middleware: Dramatiq calls such a message done, we don't.
        return Outcome(Failed(error=error_of(proxy.exception)))
    return Outcome(completed(proxy.result))


def completed(result: Any) -> Completed:
    """Completed with the result, or with the reason why it is not kept."""
    data = Completed(result=result)
    try:
        size = len(encode_data(data))
    except (TypeError, ValueError, OverflowError) as error:
        return Completed(
            omitted=f"a result of type {type(result).__name__} is no plain data: {error}"
        )
    if size > MAX_RESULT:
        return Completed(
            omitted=f"the result has {size} bytes, at most {MAX_RESULT} are kept: "
            "store it in the archive and return a reference"
        )
    return data


def error_of(exception: BaseException) -> Error:
    """What the log keeps of an exception."""
    lines = traceback.format_exception(exception)
    return Error(
        type=type(exception).__name__,
        message=_plain(str(exception))[:MAX_MESSAGE],
        traceback=_plain("".join(lines))[-MAX_TRACEBACK:],
    )


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def pack(proxy: JobProxy, by: str, outcome: Outcome) -> Packed:
    """The outcome as the finish script takes it, with the messages that follow from it."""
    return pack_outcome(
        proxy.claimed.job,
        proxy.claimed.attempt,
        by,
        outcome.data,
        delay=outcome.delay_us,
        body=outcome.body,
        outbox=proxy.outbox,
    )
