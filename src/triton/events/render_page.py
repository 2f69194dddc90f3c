"""Owns how a page of the log looks as JSON: the lines of `render`, made by the column. Pure.

Who reads a long past is shown thousands of events at a time. Nearly all of them hold plain ASCII in their
envelope, so its bytes are JSON as they stand; only the data is decoded and encoded, many of a type at once.
What looks otherwise goes through `render`, so both answer the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from triton.errors import DecodeError
from triton.events.codec import decode_data
from triton.events.entries import Page
from triton.events.envelope import DATA, SCHEMA, TENANT, TYPE, VERSION
from triton.events.render import Shown, data_of, rfc3339, show_entry, shown_line

_encode_lines: Final = msgspec.json.Encoder().encode_lines
_decode_integers: Final = msgspec.json.Decoder(list[int]).decode
#: ASCII that is the same in JSON's strings.
_PLAIN: Final = bytes(byte for byte in range(32, 127) if byte not in b'"\\')
_LINE: Final = (
    b'{"specversion":"1.0","id":"%b/%b","source":%b,"type":"%b","subject":"%b","time":"%b","partition":%d,'
    b'"position":%d,"version":%b,"attempt":%b,"by":"%b","tenant":"%b","queue":"%b","causation":"%b",'
    b'"correlation":"%b","traceparent":"%b","data":%b}'
)


def show_page(page: Page, source: str) -> list[Shown]:
    """Each entry of a page as `render.show_entry` shows it. At least one entry."""
    lines = _lines(page, source)
    if lines is None:
        return [show_entry(page.entry(index), source) for index in range(page.size)]
    versions = map(int, page.columns[VERSION])
    kinds, tenants = (map(bytes.decode, page.columns[field]) for field in (TYPE, TENANT))
    partitions = (page.partition,) * page.size
    return list(map(Shown, partitions, page.positions, versions, kinds, tenants, lines))


def _lines(page: Page, source: str) -> list[bytes] | None:
    """None where one of them needs to be looked at by itself."""
    kind, job, version, attempt, at, by, causation, correlation, trace, tenant, queue = (
        page.columns[:11]
    )
    schema, raw = page.columns[SCHEMA], page.columns[DATA]
    texts = (kind, job, by, causation, correlation, trace, tenant, queue)
    if b"".join(map(b"".join, texts)).translate(None, _PLAIN) or not all(job):
        return None
    times = _times(at)
    if times is None or not _are_numbers(version) or not _are_numbers(attempt):
        return None
    try:
        data = _encode_lines(
            [
                data_of(decode_data(name.decode(), int(number), one))
                for name, number, one in zip(kind, schema, raw, strict=True)
            ]
        )
    except (DecodeError, TypeError, ValueError, RecursionError):
        return None
    shown = shown_line(data).split(b"\n")[:-1]
    if len(shown) != page.size:
        return None
    name = msgspec.json.encode(source)
    columns = zip(
        *(job, version, (name,) * page.size, kind, job, times, (page.partition,) * page.size),
        *(page.positions, version, attempt, by, tenant, queue, causation, correlation, trace),
        shown,
        strict=True,
    )
    return list(map(_LINE.__mod__, columns))


def _times(column: Sequence[bytes]) -> list[bytes] | None:
    if set(map(len, column)) != {16} or not _are_numbers(column):  # from 2001 to 2286
        return None
    seconds = {digits: _second(digits) for digits in {time[:10] for time in column}}
    return [b"%b.%bZ" % (seconds[time[:10]], time[10:]) for time in column]


def _second(digits: bytes) -> bytes:
    """`2026-01-31T12:00:00` of a second's digits."""
    return (rfc3339(int(digits) * 1_000_000) or "").encode().partition(b".")[0]


def _are_numbers(column: Sequence[bytes]) -> bool:
    """Whether all are numbers as JSON writes them: without a sign or a leading zero."""
    joined = b",".join(column)
    if joined.translate(None, b"0123456789,"):
        return False
    try:
        return len(_decode_integers(b"[" + joined + b"]")) == len(column)
    except msgspec.MsgspecError:
        return False
