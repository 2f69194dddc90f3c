"""Owns the opaque `next` of lists: where the next page begins, as keys of the last row. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from triton.errors import ValidationError

#: The times that there are: of the years 1 to 9999.
_FIRST: Final = -62_135_596_800_000_000
_LAST: Final = 253_402_300_799_999_999

Row = TypeVar("Row")


class Keys(NamedTuple):
    """The last row of a page: its time in microseconds since 1970, and its id."""

    at: int
    id: str


def write(keys: Keys) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(keys)).rstrip(b"=").decode()


def asked(limit: int) -> int:
    """How many rows to read for a page: one more than it has tells whether another follows."""
    return limit + 1


def cut(
    rows: Sequence[Row], limit: int, last: Callable[[Row], Keys]
) -> tuple[Sequence[Row], str | None]:
    """The page of what was `asked` for, and its `next`: None where no row follows. `last`: a row's keys."""
    shown = rows[:limit]
    return shown, write(last(shown[-1])) if len(rows) > limit else None


def read(text: str) -> Keys:
    """Raises ValidationError for a text that `write` did not make."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        keys = msgspec.json.decode(raw, type=Keys)
        # PostgreSQL takes no U+0000, and no id holds one.
        if _FIRST <= keys.at <= _LAST and "\0" not in keys.id:
            return keys
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        pass
    raise invalid(text)


def invalid(text: str) -> ValidationError:
    """The refusal of a `next` that is none."""
    return ValidationError(
        f"`next` is {text[:80]!r}, expected the value of `next` from the page before",
        fields=[{"field": "next", "message": "not the `next` of an earlier page"}],
    )
