"""Owns what a submission may ask for beside its call: when it runs, for how long it may wait, what it is
the same as. Pure: the present comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from dramatiq import Message

from triton.errors import ValidationError
from triton.events.envelope import to_datetime, to_microseconds
from triton.uniqueness import MAX_KEY, Unique, fitting_id, unique_digest, unique_of

#: The message options that are terms: they are taken out, and never stored with the message.
OPTIONS: Final = ("run_at", "ttl", "unique", "idempotency_key")
#: Those that an actor may declare for all its messages.
ACTOR_OPTIONS: Final = frozenset({"ttl", "unique"})
_MAX_MS: Final = 10 * 366 * 86_400_000


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. Times in microseconds."""

    #: Since 1970, or 0.
    due: int = 0
    #: From the log server's now, or 0.
    delay: int = 0
    #: From the log server's now until the first start at the latest, or 0 for no limit.
    ttl: int = 0
    unique: Unique | None = None
    idempotency_key: str = ""


def terms_of(
    options: Mapping[str, Any],
    actor_options: Mapping[str, Any] | None = None,
    *,
    now: int,
    due: int = 0,
    delay_ms: float | None = None,
) -> Terms:
    """The terms among a message's options, then its actor's; `now` in microseconds since 1970.

    `due` (microseconds since 1970) and `delay_ms` were asked for in other ways. Raises ValidationError
    naming the option that is wrong.
    """
    declared = actor_options or {}
    given = {**{name: declared[name] for name in ACTOR_OPTIONS if name in declared}, **options}
    if delay_ms is not None and delay_ms < 0:
        raise invalid("delay", repr(delay_ms), "milliseconds from now, 0 or more")
    delay = int((delay_ms or 0) * 1000)
    run_at = given.get("run_at")
    if run_at is not None:
        if delay or due:
            raise invalid("run_at", "given beside a delay", "one of both")
        due = due_of(run_at, now)
    return checked(
        Terms(
            due=due,
            delay=delay,
            ttl=_ttl(given.get("ttl")),
            unique=unique_of(given.get("unique")),
            idempotency_key=_key(given.get("idempotency_key")),
        ),
        now,
    )


def checked(terms: Terms, now: int) -> Terms:
    """The terms; raises ValidationError where a job could never start in time."""
    wait = terms.delay or (terms.due - now if terms.due else 0)
    if terms.ttl and wait >= terms.ttl:
        raise invalid(
            "ttl",
            f"{terms.ttl // 1000} ms, but the job is due {wait // 1000} ms from now",
            "a longer one: the job would expire before it may start",
        )
    return terms


def due_of(run_at: object, now: int) -> int:
    """Microseconds since 1970 of a time to run at. Raises ValidationError for a naive or past one."""
    if not isinstance(run_at, datetime):
        raise invalid("run_at", repr(run_at), "an aware datetime")
    if run_at.tzinfo is None or run_at.utcoffset() is None:
        raise invalid(
            "run_at", f"{run_at.isoformat()}, without a time zone", "one with a time zone"
        )
    due = to_microseconds(run_at.astimezone(UTC))
    if due <= now:
        raise invalid(
            "run_at",
            f"{run_at.isoformat()}, and it is {to_datetime(now).isoformat()} now",
            "a time to come; without `run_at` the job runs at once",
        )
    return due


def without_terms(message: Message[Any]) -> Message[Any]:
    """The message as it is stored."""
    if not any(name in message.options for name in OPTIONS):
        return message
    kept = {name: value for name, value in message.options.items() if name not in OPTIONS}
    return message._replace(options=kept)


def named(
    message: Message[Any],
    terms: Terms,
    *,
    tenant: str,
    partitions: int,
    job_id: Callable[[str, str], str],
    fresh: Callable[[int], str],
) -> Message[Any]:
    """The message under the id that its keys ask for.

    An idempotency key names it: `job_id(tenant, key)`. A unique key wants it in its own partition, so that
    one script reaches both: the first of the ids that lies there, made from the idempotency key, or by
    `fresh(number)`.
    """
    key, unique = terms.idempotency_key, terms.unique
    if unique is None or partitions == 1:
        return message._replace(message_id=job_id(tenant, key)) if key else message
    digest = unique_digest(unique, tenant, message.actor_name, message.args, message.kwargs)

    def make(number: int) -> str:
        if key:
            return job_id(tenant, f"{key}\0{number}" if number else key)
        return fresh(number) if number else message.message_id

    return message._replace(message_id=fitting_id(make, digest, partitions))


def _ttl(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_MS:
        raise invalid("ttl", repr(value), f"whole milliseconds from 1 to {_MAX_MS}")
    return value * 1000


def _key(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY:
        raise invalid("idempotency_key", repr(value), f"a text of 1 to {MAX_KEY} characters")
    return value


def invalid(field: str, found: str, expected: str) -> ValidationError:
    return ValidationError(
        f"{field} is {found}, expected {expected}",
        fields=[{"field": field, "message": f"expected {expected}"}],
    )
