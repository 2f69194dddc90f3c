"""Owns what an auditor means by an instant: a time, or a position of the log. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from triton.errors import ValidationError
from triton.events.envelope import to_microseconds

_POSITION: Final = re.compile(r"(?:(\d{1,4}):)?(\d{1,18})")


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """Either a time (microseconds since 1970, included) or a position (included), with its partition where
    that was said; `text` is as it was asked for."""

    text: str
    at: int | None = None
    partition: int | None = None
    position: int | None = None


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """An instant in every partition: the last position that was there, 0 for none. `at` is the time, 0 where
    nobody knows it. `expired` is the last position of each that has expired, 0 for none."""

    text: str
    at: int
    positions: tuple[int, ...]
    expired: tuple[int, ...] = ()


def instant(text: str, now: int) -> Instant:
    """Of `now`, `2026-01-31T12:00:00Z`, `1234` (a position) or `0:1234` (of a partition).

    `now` is in microseconds. Raises ValidationError.
    """
    asked = text.strip()
    if asked == "now":
        return Instant(text=asked, at=now)
    match = _POSITION.fullmatch(asked)
    if match is not None:
        partition = None if match[1] is None else int(match[1])
        return Instant(text=asked, partition=partition, position=int(match[2]))
    try:
        when = datetime.fromisoformat(asked)
        if when.tzinfo is None:
            raise ValidationError(
                f"{asked!r} has no zone: write 2026-01-31T12:00:00Z, or +01:00 instead of Z"
            )
        # At the ends of the calendar a zone leads out of it.
        when = when.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _bad(asked) from error
    return Instant(text=asked, at=to_microseconds(when))


def _bad(text: str) -> ValidationError:
    return ValidationError(
        f"{text!r} is no instant: expected a time like 2026-01-31T12:00:00Z, a position like 1234, or "
        "0:1234 for a position of partition 0"
    )
