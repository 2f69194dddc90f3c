"""Owns what the codec promises of any value and of any bytes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from event_strategies import events_data, texts, times
from hypothesis import example, given
from hypothesis import strategies as st

from triton.errors import DecodeError, ForeignEntryError
from triton.events import envelope
from triton.events.codec import (
    decode_data,
    decode_entry,
    digest_of,
    encode_data,
    position_of,
    record_of,
)
from triton.events.envelope import FIELDS, Event, to_datetime, to_microseconds
from triton.events.types import SCHEMA, TYPES, Completed, EventData, type_of

types = st.sampled_from(sorted(TYPES))


def test_each_field_is_found_by_its_name() -> None:
    """A column that is read under another one's name: whose tenant is a queue, say."""
    places = [getattr(envelope, name.decode().upper()) for name in FIELDS]

    assert places == list(range(len(FIELDS)))


@dataclass(frozen=True)
class Stored:
    """An event and the entry that holds it."""

    event: Event
    entry_id: bytes
    fields: list[bytes]


@st.composite
def stored(draw: st.DrawFn) -> Stored:
    data = draw(events_data)
    event = Event(
        partition=3,
        position=draw(st.integers(1, 2**53)),
        type=type_of(data),
        job=draw(texts),
        version=draw(st.integers(1, 2**53)),
        attempt=draw(st.integers(0, 2**31)),
        at=draw(times),
        by=draw(texts),
        causation=draw(texts),
        correlation=draw(texts),
        traceparent=draw(texts),
        tenant=draw(texts),
        queue=draw(texts),
        schema=SCHEMA,
        data=data,
    )
    fields = []
    for name in FIELDS:
        value = getattr(event, name.decode())
        fields += [name, encode_data(data) if name == b"data" else str(value).encode()]
    return Stored(event, b"%d-0" % event.position, fields)


@given(events_data)
def test_data_round_trip(data: EventData) -> None:
    assert decode_data(type_of(data), SCHEMA, encode_data(data)) == data


@given(events_data)
def test_only_the_tag_is_left_out(data: EventData) -> None:
    whole = msgspec.msgpack.decode(msgspec.msgpack.encode(data))
    assert whole.pop("type") == type_of(data)
    assert msgspec.msgpack.decode(encode_data(data)) == whole


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (object(), TypeError),
        (2**64, OverflowError),
        (-(2**63) - 1, OverflowError),
        ("\ud800", UnicodeEncodeError),
        (_nested(100_000), RecursionError),
    ],
    ids=["object", "large", "small", "surrogate", "deep"],
)
def test_a_value_that_msgpack_cannot_hold_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode_data(Completed(result=value))


@given(types, st.integers(0, SCHEMA + 1), st.binary(max_size=60))
@example("job.completed", SCHEMA, b"\x81\xa6result\x81\x90\x01")  # a list as a key
@example("job.completed", SCHEMA, b"\x81\xa6result\x81\x80\x01")  # a map as a key
@example("job.completed", SCHEMA, b"\x81\xa6result\xa2\xff\xff")  # no UTF-8
@example("job.completed", SCHEMA, b"\x81\xa2\xff\xff\x01")
@example("job.completed", SCHEMA, b"\x81\xa6result\xc7\x0c\xff" + b"\xff" * 12)  # no time
@example("job.completed", SCHEMA, b"\x81\xa6result\xd6\xff\xff\xff\xff\xff")
@example("job.completed", SCHEMA, b"\x81\xa6result\xdd\xff\xff\xff\xff")  # four billion items
@example("job.completed", SCHEMA, b"\xdf\xff\xff\xff\xff")
@example("job.progressed", SCHEMA, b"\x81\xa7percent\xa1x")
@example("job.due", SCHEMA, b"")
@example("job.due", SCHEMA, b"\x80\x80")
def test_any_bytes_decode_or_raise_decode_error(event_type: str, schema: int, raw: bytes) -> None:
    try:
        data = decode_data(event_type, schema, raw)
    except DecodeError as error:
        assert event_type in error.message
    else:
        assert type_of(data) == event_type


@given(events_data, st.data())
def test_bytes_that_are_nearly_right_decode_or_raise_decode_error(
    data: EventData, draws: st.DataObject
) -> None:
    raw = bytearray(encode_data(data))
    raw[draws.draw(st.integers(0, len(raw) - 1))] = draws.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        decode_data(type_of(data), SCHEMA, bytes(raw))


def test_data_nested_deeper_than_python_can_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="recursion"):
        decode_data("job.completed", SCHEMA, b"\x81\xa6result" + b"\x91" * 100_000 + b"\xc0")


def test_a_schema_that_never_was_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match=r"job\.due has schema 0, expected 1"):
        decode_data("job.due", 0, b"\x80")


def test_an_unknown_type_says_to_upgrade() -> None:
    with pytest.raises(DecodeError, match=r"unknown event type 'job\.teleported': upgrade"):
        decode_data("job.teleported", SCHEMA, b"\x80")


@given(stored())
def test_entry_round_trip(entry: Stored) -> None:
    assert decode_entry(3, entry.entry_id, entry.fields) == entry.event


@given(stored(), st.integers(0, 12), st.binary(max_size=12))
def test_an_entry_with_any_value_decodes_or_raises(
    entry: Stored, number: int, value: bytes
) -> None:
    fields = list(entry.fields)
    fields[2 * number + 1] = value
    try:
        decode_entry(3, entry.entry_id, fields)
    except (ForeignEntryError, DecodeError) as error:
        assert error.message


@pytest.mark.parametrize("change", ["missing", "more", "renamed", "swapped", "none"])
def test_an_entry_with_other_fields_is_foreign(change: str) -> None:
    right = [part for name in FIELDS for part in (name, b"1")]
    fields = {
        "missing": right[:-2],
        "more": [*right, b"x", b"1"],
        "renamed": [b"kind", *right[1:]],
        "swapped": [*right[2:4], *right[:2], *right[4:]],
        "none": [],
    }[change]
    with pytest.raises(ForeignEntryError, match="7-0 was not written by Triton"):
        decode_entry(0, b"7-0", fields)


@pytest.mark.parametrize("entry_id", [b"7-1", b"1767225600000-0-1", b"7", b"7-", b"7-00"])
def test_only_ids_of_the_form_n_0_are_positions(entry_id: bytes) -> None:
    assert position_of(b"7-0") == 7
    with pytest.raises(ForeignEntryError):
        position_of(entry_id)


@given(stored(), st.data())
def test_the_digest_changes_with_every_byte_of_every_value(
    entry: Stored, draws: st.DataObject
) -> None:
    position = entry.event.position
    digest = digest_of(record_of(position, entry.fields))
    assert digest == digest_of(record_of(position, tuple(entry.fields)))
    assert len(digest) == 32
    assert digest_of(record_of(position + 1, entry.fields)) != digest
    number = 2 * draws.draw(st.integers(0, len(FIELDS) - 1)) + 1
    value = entry.fields[number]
    others = [value + b"\0", value[:-1]] if value else [b"\0"]
    if value:
        at, bit = draws.draw(st.integers(0, len(value) - 1)), 1 << draws.draw(st.integers(0, 7))
        others.append(value[:at] + bytes((value[at] ^ bit,)) + value[at + 1 :])
    for other in others:
        fields = [*entry.fields[:number], other, *entry.fields[number + 1 :]]
        assert digest_of(record_of(position, fields)) != digest


@given(stored())
def test_the_digest_changes_when_bytes_move_to_the_next_value(entry: Stored) -> None:
    """["ab", "c"] is not ["a", "bc"]."""
    fields = list(entry.fields)
    fields[3], fields[5] = fields[3] + fields[5][:1], fields[5][1:]
    assert record_of(1, fields) != record_of(1, entry.fields)


def test_a_record_is_the_same_for_ever() -> None:
    """Checkpoints and archives keep digests: how they are made is part of the format."""
    fields = [part for n, name in enumerate(FIELDS) for part in (name, b"%d" % n)]
    record = record_of(300, fields)
    assert record.hex() == (
        "9ecd012cc40130c40131c40132c40133c40134c40135c40136c40137c40138c40139c4023130c4023131c4023132"
    )
    assert digest_of(record) == "418e51d2857aa2764f95ac874d5d7394"


@given(st.integers(0, 253402300799_999999))
def test_times_are_exact_to_the_microsecond(at: int) -> None:
    assert to_microseconds(to_datetime(at)) == at
