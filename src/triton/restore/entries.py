"""Owns making an entry of the log again from its row in `job_events`. Pure.

The row shows what the entry says, not its bytes: a message may have its fields in another order, and what no
store can hold was replaced. So what is made here is another entry, that says the same.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from triton.events.entries import Entry
from triton.events.envelope import FIELDS

_MOST: Final = 2**64 - 1
_LEAST: Final = -(2**63)
_encode: Final = msgspec.msgpack.Encoder().encode


def entry_of_row(row: Mapping[str, Any]) -> Entry:
    """The entry that says what a row does; `at` in microseconds, `data` as JSON text."""
    values: dict[bytes, Any] = {name: row[name.decode()] for name in FIELDS}
    values[b"data"] = _data(row["type"], json.loads(row["data"]))
    fields = [
        part
        for name, value in values.items()
        for part in (name, value if isinstance(value, bytes) else str(value).encode())
    ]
    return Entry(row["partition"], row["position"], fields)


def entry_of_record(partition: int, record: bytes) -> Entry:
    """The entry of a record that was kept as it is."""
    position, *values = msgspec.msgpack.decode(record)
    fields = [part for name, value in zip(FIELDS, values, strict=True) for part in (name, value)]
    return Entry(partition, position, fields)


def _data(kind: str, shown: dict[str, Any]) -> bytes:
    if kind == "job.submitted":
        # The scripts look for the message behind the actor.
        shown = {"actor": shown["actor"], "body": _body(shown["body"]), **_rest(shown)}
    return _encode(_packable(shown))


def _rest(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in ("actor", "body")}


def _body(shown: Any) -> bytes:
    """A message that was no JSON is shown as base64."""
    if isinstance(shown, str):
        try:
            return b64decode(shown, validate=True)
        except binascii.Error:
            return shown.encode()
    return json.dumps(shown, separators=(",", ":")).encode()


def _packable(value: Any) -> Any:
    """Whole numbers that msgpack cannot hold were no whole numbers in the log either."""
    match value:
        case bool():
            return value
        case int() if not _LEAST <= value <= _MOST:
            return float(value)
        case dict():
            return {key: _packable(item) for key, item in value.items()}
        case list():
            return [_packable(item) for item in value]
        case _:
            return value
