"""Owns how an event looks as JSON: one line, the same in history, feed and command line. Pure.

The shape is a CloudEvent (specversion 1.0) whose extension attributes are the envelope. `version` is dense
per job, so a reader can prove that nothing is missing. Times are RFC 3339, UTC, to the microsecond.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from triton.erasure.envelopes import masked_json
from triton.errors import DecodeError
from triton.events.codec import decode_entry
from triton.events.envelope import DATA, SCHEMA, TYPE, Event, to_datetime
from triton.events.log import Entry
from triton.events.types import EventData, Submitted

_encode: Final = msgspec.json.Encoder().encode
#: What JSON allows in a string but some line splitters take for the end of a line.
_LINE_ENDS: Final = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a job as clients see it."""

    specversion: str = "1.0"
    #: `JOB/VERSION`, or `PARTITION:POSITION` of an administrative event; unique together with `source`.
    id: str
    #: `/triton/NAMESPACE`.
    source: str
    type: str
    #: The job's id; empty for an administrative event.
    subject: str
    #: RFC 3339, by the log server's clock.
    time: str
    partition: int
    position: int
    #: Dense per job, from 1.
    version: int
    attempt: int
    by: str
    tenant: str
    queue: str
    causation: str
    correlation: str
    traceparent: str
    #: What is special to the type.
    data: Mapping[str, Any]


class Shown(NamedTuple):
    """An event as a JSON line, with the little that a feed needs to know of it."""

    partition: int
    position: int
    version: int
    type: str
    tenant: str
    json: bytes


class Message(msgspec.Struct, frozen=True):
    """What is shown of an encoded Dramatiq message."""

    args: msgspec.Raw
    kwargs: msgspec.Raw


_message: Final = msgspec.json.Decoder(Message)
NULL: Final = msgspec.Raw(b"null")


def rfc3339(microseconds: int) -> str | None:
    """`2026-01-31T12:00:00.000001Z` of microseconds since 1970; None for 0, which means "not yet"."""
    if microseconds == 0:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{rest:06}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """Events come many to the second."""
    return to_datetime(seconds * 1_000_000).strftime("%Y-%m-%dT%H:%M:%S")


def message_of(body: bytes) -> Message:
    """args and kwargs of an encoded Dramatiq message, as JSON; null where it is not JSON."""
    try:
        found = _message.decode(body)
        if b"\n" not in body and b"\r" not in body:
            return found
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        # The standard library reads what msgspec refuses, lone surrogates above all.
        plain = json.loads(body)
        return Message(_ascii(plain["args"]), _ascii(plain["kwargs"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Message(NULL, NULL)


def _ascii(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, separators=(",", ":")).encode())


def data_of(data: EventData) -> dict[str, Any]:
    """What is special to the event's type, as plain values; a message is shown as args and kwargs."""
    shown: dict[str, Any] = {}
    for name in data.__struct_fields__:
        value = getattr(data, name)
        if name in ("due", "expires"):
            shown[name] = rfc3339(value)
        elif name == "error":
            shown[name] = msgspec.structs.asdict(value)
        elif name == "body" and isinstance(data, Submitted):
            message = message_of(value)
            shown["args"], shown["kwargs"] = message.args, message.kwargs
        else:
            shown[name] = value
    return shown


def id_of(event: Event) -> str:
    """What names the event among all of its source."""
    if event.job:
        return f"{event.job}/{event.version}"
    return f"{event.partition}:{event.position}"


def one_line(value: Any) -> bytes:
    """JSON without any character that a reader of lines could take for a line's end, and with `[personal]`
    in place of what is sealed.

    Raises TypeError, ValueError or RecursionError for a value that JSON cannot hold.
    """
    return shown_line(_encode(value))


def shown_line(encoded: bytes) -> bytes:
    """The same of a value that is JSON already."""
    line = masked_json(encoded)
    if not line.isascii():
        for raw, escaped in _LINE_ENDS:
            line = line.replace(raw, escaped)
    return line


def show(event: Event, source: str) -> Shown:
    """The event as JSON; never fails: data that JSON cannot hold is replaced by the reason."""
    return _shown(event, data_of(event.data), source)


def show_entry(entry: Entry, source: str) -> Shown:
    """The same from a raw entry; data that cannot be decoded is replaced by the reason."""
    try:
        return show(entry.event(), source)
    except DecodeError as error:
        return _shown(_envelope_of(entry), {"problem": error.message}, source)


def _envelope_of(entry: Entry) -> Event:
    """The event of an entry whose data cannot be decoded, with data that says nothing."""
    fields = list(entry.fields)
    for field, value in ((TYPE, b"job.due"), (SCHEMA, b"1"), (DATA, b"\x80")):
        fields[2 * field + 1] = value
    event = decode_entry(entry.partition, b"%d-0" % entry.position, fields)
    kind = entry.value(TYPE).decode(errors="replace")
    return msgspec.structs.replace(event, type=kind)


def _shown(event: Event, data: Mapping[str, Any], source: str) -> Shown:
    view = EventView(
        id=id_of(event),
        source=source,
        type=event.type,
        subject=event.job,
        time=rfc3339(event.at) or "",
        partition=event.partition,
        position=event.position,
        version=event.version,
        attempt=event.attempt,
        by=event.by,
        tenant=event.tenant,
        queue=event.queue,
        causation=event.causation,
        correlation=event.correlation,
        traceparent=event.traceparent,
        data=data,
    )
    try:
        line = one_line(view)
    except (TypeError, ValueError, RecursionError) as error:
        problem = {"problem": f"the data cannot be shown as JSON: {error}"}
        line = one_line(msgspec.structs.replace(view, data=problem))
    return Shown(event.partition, event.position, event.version, event.type, event.tenant, line)
