"""Owns what a submission may ask for beside its call: when it runs, for how long it may wait, what it is
the same as. Pure: the present comes in as an argument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from dramatiq import Message

from triton.errors import invalid
from triton.events.envelope import to_datetime, to_microseconds
from triton.uniqueness import MAX_KEY, Unique, unique_of

#: The message options that are terms: they are taken out, and never stored with the message.
OPTIONS: Final = frozenset(("run_at", "ttl", "unique", "idempotency_key"))
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
    if delay_ms is not None and not 0 <= delay_ms < math.inf:
        raise invalid("delay", repr(delay_ms), "milliseconds from now, 0 or more")
    delay = int((delay_ms or 0) * 1000)
    run_at = given.get("run_at")
    if run_at is not None:
        if delay or due:
            raise invalid("run_at", "given beside a delay", "one of both")
        # Under a key it may be a repeat, of a job that ran long ago: the log decides.
        due = due_of(run_at, 0 if given.get("idempotency_key") else now)
    ttl = _ttl(given.get("ttl"))
    wait = delay or (due - now if due else 0)
    if ttl and wait >= ttl:
        raise invalid(
            "ttl",
            f"{ttl // 1000} ms, but the job is due {wait // 1000} ms from now",
            "a longer one: the job would expire before it may start",
        )
    return Terms(
        due=due,
        delay=delay,
        ttl=ttl,
        unique=unique_of(given.get("unique")),
        idempotency_key=_key(given.get("idempotency_key")),
    )


def encode_declared(options: Mapping[str, Any]) -> bytes:
    """What an actor's options say of terms and of personal data, for who submits by name only; empty for
    nothing."""
    said: dict[str, Any] = {}
    if options.get("ttl") is not None:
        said["ttl"] = options["ttl"]
    if (unique := unique_of(options.get("unique"))) is not None:
        said["unique"] = msgspec.to_builtins(unique)
    if options.get("personal") is not None:
        said["personal"] = msgspec.to_builtins(options["personal"])
    return msgspec.json.encode(said) if said else b""


def decode_declared(raw: bytes | None) -> dict[str, Any]:
    """The same as options again."""
    return msgspec.json.decode(raw, type=dict[str, Any]) if raw else {}


def due_of(run_at: object, now: int) -> int:
    """Microseconds since 1970 of a time to run at. Raises ValidationError for a naive one, and one that
    does not come after `now`.
    """
    if not isinstance(run_at, datetime):
        raise invalid("run_at", repr(run_at), "an aware datetime")
    if run_at.tzinfo is None or run_at.utcoffset() is None:
        raise invalid(
            "run_at", f"{run_at.isoformat()}, without a time zone", "one with a time zone"
        )
    try:
        due = to_microseconds(run_at.astimezone(UTC))
    except OverflowError:
        # Within a day of year 1 or 9999, and in UTC beyond it.
        raise invalid("run_at", run_at.isoformat(), "a time that UTC has, too") from None
    if due <= now:
        raise invalid(
            "run_at",
            f"{run_at.isoformat()}, and it is {to_datetime(now).isoformat()} now",
            "a time to come; without `run_at` the job runs at once",
        )
    return due


def without_terms(message: Message[Any]) -> Message[Any]:
    """The message as it is stored."""
    if OPTIONS.isdisjoint(message.options):
        return message
    kept = {name: value for name, value in message.options.items() if name not in OPTIONS}
    return message._replace(options=kept)


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
