"""Owns rows as tab-separated lines for PostgreSQL's COPY. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from triton.events.envelope import AT, ATTEMPT, SCHEMA, VERSION
from triton.projections.rows import Rows
from triton.projections.stamps import stamp

#: What has a meaning of its own in a line, and how it is written.
_SPECIAL: Final = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))

#: The fields of one line from `position` on, in the order of `rows.COLUMNS`.
Fields: TypeAlias = tuple[bytes, ...]


def fields_of(rows: Rows) -> list[Fields]:
    """The fields of each row's line. At least one row."""
    texts: Sequence[Sequence[bytes]] = (
        *(rows.job, rows.kind, rows.by, rows.tenant, rows.queue),
        *(rows.causation, rows.correlation, rows.trace),
    )
    every = b"".join([b"".join(column) for column in texts])
    if not is_plain(every):
        texts = [[escaped(text) for text in column] for column in texts]
    job, kind, by, tenant, queue, causation, correlation, trace = texts
    # Their own digits: not worth to be written anew, and whatever is none PostgreSQL refuses.
    version, attempt, schema = (rows.page.columns[field] for field in (VERSION, ATTEMPT, SCHEMA))
    return list(
        zip(
            map(b"%d".__mod__, rows.page.positions),
            *(job, version, kind, attempt, _stamps(rows)),
            *(by, tenant, queue, causation, correlation, trace, schema),
            rows.shown,
            strict=True,
        )
    )


def _stamps(rows: Rows) -> list[bytes]:
    digits = rows.page.columns[AT]
    if set(map(len, digits)) == {16} and min(rows.at) >= 10**15:  # from 2001 to 2286
        return [_second(number[:10]) + number[10:] for number in digits]
    return [stamp(at).encode() for at in rows.at]


@lru_cache(maxsize=8192)
def _second(digits: bytes) -> bytes:
    """`2026-11-21 03:29:47.` of a second's digits."""
    return stamp(int(digits) * 1_000_000)[:-6].encode()


def lines_of(partition: int, fields: Sequence[Fields]) -> bytes:
    """Whole lines, each with a line feed at its end. At least one."""
    begin = b"%d\t" % partition
    return begin + (b"\n" + begin).join(map(b"\t".join, fields)) + b"\n"


def is_plain(texts: bytes) -> bool:
    """Whether nothing in them has a meaning of its own in a line, nor is refused by a store."""
    return b"\0" not in texts and not any(special in texts for special, _ in _SPECIAL)


def escaped(text: bytes) -> bytes:
    """A text as one field of a line."""
    for special, written in _SPECIAL:
        if special in text:
            text = text.replace(special, written)
    return text


def escaped_json(encoded: bytes) -> bytes:
    """JSON as one field of a line: it has no raw control characters, so only backslashes are special."""
    return encoded.replace(b"\\", b"\\\\") if b"\\" in encoded else encoded
