"""Owns what people write as arguments of a command: JSON, `name=value`, durations. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from triton.errors import ValidationError

_UNITS: Final = {"ms": 1, "": 1000, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: Milliseconds of a thousand years: what is longer is a slip, and no calendar goes there.
_LONGEST: Final = 1000 * 366 * 86_400_000
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")


def json_array(option: str, text: str | None) -> list[Any]:
    """A JSON array; empty for none. Raises ValidationError naming the option."""
    found: list[Any] = _json(option, text or "[]", list[Any], "a JSON array, like '[1, \"two\"]'")
    return found


def json_object(option: str, text: str | None) -> dict[str, Any]:
    """A JSON object; empty for none. Raises ValidationError naming the option."""
    found: dict[str, Any] = _json(
        option, text or "{}", dict[str, Any], "a JSON object, like '{\"name\": 1}'"
    )
    return found


def named(option: str, pairs: Iterable[str]) -> dict[str, Any]:
    """`name=text` as a text, `name:=json` as the JSON value. Raises ValidationError naming the option."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not separator or not name:
            raise ValidationError(
                f"{option} is {pair!r}, expected name=text, or name:=json for anything but a text"
            )
        if name in found:
            raise ValidationError(f"{option} gives {name!r} twice")
        found[name] = _json(f"{option} {name}", value, Any, "JSON after :=") if is_json else value
    return found


def milliseconds(option: str, text: str) -> int:
    """Of `500ms`, `10s`, `2m`, `1.5h`, `1d`; a number alone is seconds. Raises ValidationError."""
    match = _DURATION.fullmatch(text.strip())
    found = float(match[1]) * _UNITS[match[2]] if match else math.inf
    if found > _LONGEST:
        raise ValidationError(
            f"{option} is {text!r}, expected a duration like 500ms, 10s, 2m or 1h"
        )
    return math.ceil(found)


def moment(option: str, text: str, now: datetime | None = None) -> str:
    """An RFC 3339 time: as given, or so long before now (`30m`, `2h`, `7d`). Raises ValidationError."""
    try:
        if _DURATION.fullmatch(text.strip()):
            before = timedelta(milliseconds=milliseconds(option, text))
            return ((now or datetime.now(UTC)) - before).isoformat()
        when = datetime.fromisoformat(text.strip())
        # Without a zone it is the person's own.
        return (when if when.tzinfo else when.astimezone()).isoformat()
    except (ValueError, OverflowError) as error:
        raise ValidationError(
            f"{option} is {text!r}, expected how long ago, like 30m, 2h or 7d, or a time like "
            "2026-01-31T12:00:00Z"
        ) from error


def _json(option: str, text: str, kind: Any, expected: str) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
        raise ValidationError(f"{option} is {text!r}, expected {expected}: {error}") from error
