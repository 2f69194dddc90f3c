"""Owns how a message that is sent becomes a submission: its actor's options, its parent, its own. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
from dramatiq import Actor, Message

from triton.broker.proxy import JobProxy
from triton.events.submission import Submission
from triton.submit import Caller, submission_of
from triton.terms import terms_of

if TYPE_CHECKING:
    from triton.erasure.messages import Sealing


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends, and into which log."""

    by: str
    partitions: int
    #: Milliseconds after its end for which a job answers to its idempotency key.
    keep_ms: int
    #: Bytes of a message at most.
    most: int
    #: The job that sends, if one does.
    parent: JobProxy | None = None
    #: What seals personal data, where there may be any.
    sealing: Sealing | None = None


def prepared(
    message: Message[Any],
    sender: Sender,
    *,
    actor: Actor[Any, Any] | None,
    delay: int | None,
    now: int,
) -> Submission:
    """The submission; `delay` in milliseconds, `now` in microseconds since 1970.

    Raises ValidationError for what cannot be a job.
    """
    if isinstance(message, JobProxy):
        message = message.message
    due = 0
    if "eta" in message.options:
        # A message that another broker delayed. Left there, a worker would wait for it in its memory.
        message = message.copy()
        eta = message.options.pop("eta")
        known = isinstance(eta, int | float) and math.isfinite(eta) and not delay
        due = int(eta * 1000) if known else 0
    declared = actor.options if actor is not None else None
    terms = terms_of(message.options, declared, now=now, due=due, delay_ms=delay)
    if "group_completion_uuid" in message.options:
        # Dramatiq counts the members that completed: one that is another job would never be counted.
        terms = msgspec.structs.replace(terms, unique=None)
    priority = actor.priority if actor is not None else 0
    return submission_of(
        message,
        _caller(sender),
        due=due,
        priority=priority,
        terms=terms,
        partitions=sender.partitions,
        keep_ms=sender.keep_ms,
        most=sender.most,
        sealing=sender.sealing,
    )


def _caller(sender: Sender) -> Caller:
    if sender.parent is None:
        return Caller(sender.by)
    parent = sender.parent.claimed
    return Caller(
        sender.by,
        tenant=parent.tenant,
        causation=f"job:{parent.job}",
        correlation=parent.correlation or parent.job,
        traceparent=parent.traceparent,
    )
