"""Owns the log's times as text that both stores read: UTC, to the microsecond. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

#: The last time that is shown as it is; later ones (a delay of millennia) are shown as this.
LAST: Final = 253_402_300_799_999_999


def stamp(at: int) -> str:
    """`2026-11-21 03:29:47.666209` of microseconds since 1970."""
    if not 0 <= at <= LAST:
        at = LAST if at > 0 else 0
    return "%s%06d" % (_second(at // 1_000_000), at % 1_000_000)  # noqa: UP031 - twice as fast


@lru_cache(maxsize=8192)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S.")
