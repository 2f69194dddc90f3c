"""Owns how an exported event looks: as clients see it, with the leaf that proves it. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from triton.events.entries import Entry
from triton.events.render import EventView, show_entry
from triton.evidence.tree import leaf_hash

#: Of `by`, before the colon -> the authtype of CloudEvents' authcontext extension.
_AUTH: Final = {"user": "user", "key": "api_key", "worker": "service_account"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `leaf` is the SHA-256 (hex) that stands for it in the tree of its partition and epoch."""

    id: str
    source: str
    type: str
    #: The job's id; empty for an administrative event.
    subject: str
    time: str
    partition: int
    position: int
    epoch: str
    version: int
    attempt: int
    by: str
    tenant: str
    queue: str
    causation: str
    correlation: str
    traceparent: str
    leaf: str
    data: msgspec.Raw


#: The names of a row's fields, in the order of columns.
COLUMNS: Final = Row.__struct_fields__


class _View(EventView, frozen=True, kw_only=True):
    data: msgspec.Raw  # type: ignore[assignment]


_decode: Final = msgspec.json.Decoder(_View).decode


def row_of(entry: Entry, epoch: str, source: str) -> Row:
    """Never fails: data that cannot be shown is replaced by the reason."""
    view = _decode(show_entry(entry, source).json)
    same = {name: getattr(view, name) for name in COLUMNS if name not in ("epoch", "leaf")}
    return Row(epoch=epoch, leaf=leaf_hash(entry.record()).hex(), **same)


def cloud_event(row: Row) -> dict[str, Any]:
    """The row as a CloudEvent 1.0 in structured mode; empty attributes are left out.

    Registered extensions: authcontext, correlation, recordedtime, sequence, distributed tracing,
    partitioning. What Triton has besides begins with `triton`.
    """
    kind, _, name = row.by.partition(":")
    authtype = _AUTH.get(kind, "system" if row.by in ("", "system") else "unknown")
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": row.id,
        "source": row.source,
        "type": row.type,
        "subject": row.subject,
        "time": row.time,
        "datacontenttype": "application/json",
        "authtype": "unauthenticated" if row.by == "user:anonymous" else authtype,
        "authid": name or row.by,
        "correlationid": row.correlation or row.subject,
        "causationid": row.causation,
        "recordedtime": row.time,
        "sequence": f"{row.position:020d}",
        "partitionkey": row.subject,
        "traceparent": row.traceparent,
        "tritontenant": row.tenant,
        "tritonqueue": row.queue,
        "tritonepoch": row.epoch,
        "tritonleaf": row.leaf,
    }
    given = {name: value for name, value in attributes.items() if value != ""}
    numbers = {
        "tritonpartition": row.partition,
        "tritonversion": row.version,
        "tritonattempt": row.attempt,
    }
    return {**given, **numbers, "data": row.data}
