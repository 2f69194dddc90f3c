"""Owns the way of a message into the outbox table, where what cannot be a job is refused at once."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import dramatiq
import msgspec
from dramatiq import Message
from dramatiq.errors import DramatiqError

from triton.errors import invalid
from triton.events.envelope import to_datetime
from triton.observe import tracing
from triton.outbox.statements import sql
from triton.references import MAX_ARCHIVED
from triton.retry import plain_options
from triton.signature import check_call, signature_of
from triton.submit import Caller, submission_of
from triton.terms import ACTOR_OPTIONS, terms_of
from triton.uniqueness import unique_of

if TYPE_CHECKING:
    import psycopg

R = TypeVar("R")


def enqueue(
    connection: psycopg.Connection[Any], message: Message[R], *, delay: int | None = None
) -> Message[R]:
    """Submit a message with the connection's transaction: a job if it commits, nothing if it does not.

    `message` is what `actor.message(...)` and `actor.message_with_options(...)` make, with any option that
    `send_with_options` takes; `delay` is in milliseconds from now. The job's id is the message's id.
    Raises ValidationError for what cannot be a job; the transaction is as it was then.
    """
    text, values = statement(message, delay=delay)
    connection.execute(text.encode(), values)
    return message


async def aenqueue(
    connection: psycopg.AsyncConnection[Any], message: Message[R], *, delay: int | None = None
) -> Message[R]:
    """The same for an asynchronous connection."""
    text, values = statement(message, delay=delay)
    await connection.execute(text.encode(), values)
    return message


def statement(message: Message[Any], *, delay: int | None = None) -> tuple[str, tuple[Any, ...]]:
    """The INSERT of a message and its values, for any driver with `%s` placeholders (a Django cursor).

    Raises ValidationError for what cannot be a job.
    """
    now = time.time_ns() // 1000
    options = _options(message)
    terms = terms_of(options, now=now, delay_ms=delay)
    kept = {name: value for name, value in options.items() if name != "run_at"}
    args, kwargs, plain = (
        _json("args", list(message.args)),
        _json("kwargs", message.kwargs),
        _json("options", kept),
    )
    whole = message._replace(options=options)
    submission_of(whole, Caller("system"), terms=terms, most=MAX_ARCHIVED)
    due = to_datetime(terms.due) if terms.due else None
    values = (
        message.message_id,
        message.actor_name,
        message.queue_name,
        args,
        kwargs,
        plain,
        due,
        delay or None,
    )
    return sql("insert").decode(), values


def _options(message: Message[Any]) -> dict[str, Any]:
    """The options with what the actor declared, where this process knows it: the relay knows no actors."""
    options = dict(message.options)
    options.pop("eta", None)
    if traceparent := tracing.traceparent():
        options.setdefault("traceparent", traceparent)
    try:
        actor = dramatiq.get_broker().get_actor(message.actor_name)
    except (DramatiqError, ImportError):
        actor = None
    if actor is not None:
        signature = signature_of(actor.fn)
        if signature is not None:
            check_call(signature, message.actor_name, message.args, message.kwargs)
        declared = {name: actor.options[name] for name in ACTOR_OPTIONS if name in actor.options}
        options = {**declared, **options}
        if actor.priority:
            options.setdefault("priority", actor.priority)
    options.update(plain_options(options))
    unique = unique_of(options.get("unique"))
    if unique is not None:
        options["unique"] = msgspec.to_builtins(unique)
    return options


def _json(field: str, value: list[Any] | Mapping[str, Any]) -> str:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(field, f"without JSON ({error})", "values that JSON has") from None
