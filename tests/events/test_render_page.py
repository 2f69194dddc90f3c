"""A page is shown as its entries are, one by one, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from event_strategies import events_data, texts, times
from hypothesis import given
from hypothesis import strategies as st

from triton.events.codec import encode_data
from triton.events.entries import Page
from triton.events.render import Shown, show_entry
from triton.events.render_page import show_page
from triton.events.types import EventData, Output, type_of

SOURCE = '/triton/te"st'
PLAIN = {
    "job": b"a1",
    "version": b"7",
    "attempt": b"0",
    "at": b"1700000000000001",
    "by": b"user:ann",
    "causation": b"",
    "correlation": b"b2",
    "traceparent": b"",
    "tenant": b"default",
    "queue": b"mail",
    "schema": b"1",
}
Row = tuple[bytes, ...]

plain_texts = st.text(st.characters(codec="ascii"), max_size=20)
some_text = st.one_of(plain_texts, texts).map(str.encode)


def row(event: EventData, **other: bytes) -> Row:
    fields = {**PLAIN, **other}
    names = ("job", "version", "attempt", "at", "by", "causation", "correlation", "traceparent")
    rest = (fields[name] for name in ("tenant", "queue", "schema"))
    raw = other.get("data", encode_data(event))
    return (type_of(event).encode(), *(fields[name] for name in names), *rest, raw)


def page(rows: list[Row]) -> Page:
    return Page(3, range(5, 5 + len(rows)), list(zip(*rows, strict=True)))


def one_by_one(found: Page) -> list[Shown]:
    return [show_entry(found.entry(index), SOURCE) for index in range(found.size)]


@given(st.data())
def test_a_page_of_plain_envelopes_is_its_entries(data: st.DataObject) -> None:
    events = data.draw(st.lists(events_data, min_size=1, max_size=5))
    found = page([row(one) for one in events])
    assert show_page(found, SOURCE) == one_by_one(found)


@given(st.data())
def test_a_page_of_any_envelopes_is_its_entries(data: st.DataObject) -> None:
    def drawn(event: EventData) -> Row:
        other: dict[str, Any] = {}
        for name in ("job", "by", "causation", "correlation", "tenant", "queue"):
            if data.draw(st.integers(0, 3)) == 0:
                other[name] = data.draw(some_text)
        if data.draw(st.booleans()):
            other["at"] = b"%d" % data.draw(times)
        return row(event, **other)

    events = data.draw(st.lists(events_data, min_size=1, max_size=5))
    found = page(list(map(drawn, events)))
    assert show_page(found, SOURCE) == one_by_one(found)


@pytest.mark.parametrize(
    "other",
    [
        {"data": b"\xc1"},
        {"schema": b"99"},
        {"version": b"007"},
        {"version": b"+1"},
        {"at": b"0"},
        {"at": b"0000000000000001"},
        {"job": b""},
        {"by": b'a"b\\'},
        {"tenant": "Å".encode()},
        {"queue": b"a\nb\x7f"},
    ],
    ids=str,
)
def test_what_is_not_plain_is_shown_as_alone(other: dict[str, bytes]) -> None:
    plain = row(Output(chunk="a"))
    found = page([plain, row(Output(chunk="b"), **other), plain])
    assert show_page(found, SOURCE) == one_by_one(found)


@pytest.mark.parametrize(
    "chunk",
    [
        "line\nfeed",
        "para\u2029graph",
        "next\u0085line",
        "triton.personal:" + "0" * 32 + ":abc",
        '\\"',
        "",
    ],
    ids=ascii,
)
def test_a_chunk_stays_one_line(chunk: str) -> None:
    found = page([row(Output(chunk=chunk)), row(Output(chunk="b"))])
    shown = show_page(found, SOURCE)
    assert shown == one_by_one(found)
    assert all(len(one.json.splitlines()) == 1 for one in shown)


def test_the_usual_page_needs_no_look_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: Callable[..., Shown] = pytest.fail
    monkeypatch.setattr("triton.events.render_page.show_entry", refused)
    assert len(show_page(page([row(Output(chunk="é\n")) for _ in range(3)]), SOURCE)) == 3
