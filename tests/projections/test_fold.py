"""The batch fold is `evolve`, however a log is cut; and rows look as the stores need them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triton.events import codec
from triton.events.codec import encode_data
from triton.events.entries import Entry, page_of
from triton.events.envelope import FIELDS, Event
from triton.events.types import (
    Cancelled,
    CancelRequested,
    Completed,
    Due,
    Error,
    EventData,
    Failed,
    LeaseLost,
    Output,
    Progressed,
    Released,
    Requeued,
    RetryScheduled,
    Snoozed,
    Started,
    StepCompleted,
    Submitted,
    type_of,
)
from triton.job import Head, evolve
from triton.projections.fold import JobFold, Sifter
from triton.projections.lines import escaped_json, fields_of, lines_of
from triton.projections.render import Body, bodies_of, body_of, clean_text, to_json
from triton.projections.rows import COLUMNS, Piece, Poison, RowReader, Rows
from triton.projections.stamps import LAST, stamp

texts = st.sampled_from(["", "a", "tab\tnul\0", "\\N"])
times = st.integers(1, 2**50)
errors = st.builds(Error, type=texts, message=texts)
bodies = st.sampled_from([b'{"args":[1],"kwargs":{"a":null}}', b"pickle\x80", b"[]"])
datas: st.SearchStrategy[EventData] = st.one_of(
    st.builds(Submitted, actor=texts, body=bodies, due=st.sampled_from([0, 5])),
    st.just(Due()),
    st.builds(Started, worker=texts),
    st.builds(Progressed, percent=st.floats(0, 100), stage=texts),
    st.builds(Output, chunk=texts),
    st.builds(StepCompleted, name=texts, result=texts),
    st.builds(RetryScheduled, due=times, error=errors),
    st.builds(Snoozed, due=times),
    st.just(Released()),
    st.builds(LeaseLost, worker=texts, deaths=st.integers(1, 9)),
    st.builds(CancelRequested, reason=texts),
    st.builds(Completed, result=st.one_of(st.none(), texts, st.integers(-9, 2**64 - 1))),
    st.builds(Failed, error=errors, reason=texts),
    st.builds(Cancelled, reason=texts),
    st.builds(Requeued, reason=texts),
)


def entry(position: int, job: str, version: int, attempt: int, at: int, data: EventData) -> Entry:
    values = {
        b"type": type_of(data).encode(),
        b"job": job.encode(),
        b"version": b"%d" % version,
        b"attempt": b"%d" % attempt,
        b"at": b"%d" % at,
        b"by": b"user:x",
        b"causation": b"",
        b"correlation": "c\tö".encode(),
        b"traceparent": b"",
        b"tenant": b"default",
        b"queue": b"default",
        b"schema": b"1",
        b"data": encode_data(data),
    }
    return Entry(0, position, [part for name in FIELDS for part in (name, values[name])])


def read(entries: Sequence[Entry], reader: RowReader | None = None) -> list[Piece]:
    """What a projector makes of entries that follow one another."""
    raw = [(b"%d-0" % one.position, one.fields) for one in entries]
    page = page_of(0, entries[0].position - 1, raw)
    return (reader or RowReader(escaped_json)).read(page)


def take(fold: JobFold, pieces: Sequence[Piece]) -> list[tuple[int, str]]:
    """Positions of what the fold refuses, with the reason."""
    sifter, refused = Sifter(()), []
    for rows in filter(None, map(sifter.sift, pieces)):
        reasons = fold.take(rows, fields_of(rows))
        refused += [(rows.page.positions[index], reason) for index, reason in reasons.items()]
    return [(one.entry.position, one.reason) for one in sifter.parked] + refused


moves = st.tuples(st.sampled_from("abc"), st.integers(0, 9), times, datas)


def log_of(drawn: Sequence[tuple[str, int, int, EventData]]) -> list[Entry]:
    """Any events in any order, as long as versions are dense and a job begins with job.submitted."""
    entries: list[Entry] = []
    versions: dict[str, int] = {}
    for job, attempt, at, data in drawn:
        if isinstance(data, Submitted) or job not in versions:
            versions[job] = 0
            data = data if isinstance(data, Submitted) else Submitted(actor="x", body=b"")
        versions[job] += 1
        entries.append(entry(len(entries) + 1, job, versions[job], attempt, at, data))
    return entries


logs = st.lists(moves, min_size=1, max_size=25).map(log_of)


class Tables:
    """What the SQL does with births and patches, in Python."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}

    def apply(self, entries: Sequence[Entry], reader: RowReader) -> None:
        fold = JobFold()
        assert not take(fold, read(entries, reader))
        for job, patch in fold.patches.items():
            assert self.jobs[job]["version"] == patch["expected"]
            self.jobs[job] |= patch
        for job, born in fold.births.items():
            self.jobs[job] = dict(born.state)


@settings(max_examples=60)
@given(logs, st.lists(st.integers(1, 8), min_size=25, max_size=25))
def test_any_cut_of_any_log_folds_to_the_heads(log: list[Entry], sizes: list[int]) -> None:
    heads: dict[str, Head] = {}
    for one in log:
        event: Event = one.event()
        heads[event.job] = evolve(heads.get(event.job), event)
    tables, reader = Tables(), RowReader(escaped_json)
    rest = log
    for size in sizes:
        if rest:
            tables.apply(rest[:size], reader)
        rest = rest[size:]
    for job, head in heads.items():
        row = tables.jobs[job]
        for name in (
            *(
                "version",
                "position",
                "at",
                "state",
                "attempt",
                "percent",
                "stage",
                "worker",
                "deaths",
            ),
            *("cancel_requested", "reason", "due", "started", "finished", "error", "result"),
        ):
            assert row[name] == getattr(head, name), name


@settings(max_examples=60)
@given(logs)
def test_a_line_has_all_columns_and_no_stray_separators(log: list[Entry]) -> None:
    (rows,) = read(log)
    assert isinstance(rows, Rows)
    lines = lines_of(0, fields_of(rows)).splitlines(keepends=True)
    assert len(lines) == len(log)
    for line in lines:
        assert line.endswith(b"\n")
        assert line.count(b"\t") == len(COLUMNS) - 1
        assert b"\0" not in line
        json.loads(line.split(b"\t")[-1].replace(b"\\\\", b"\\"))


def test_an_entry_that_cannot_be_read_is_poison_with_its_reason() -> None:
    """Whatever else is in its page: that is read as if the poison were not there."""
    good = [
        entry(position, job, 1, 0, 5, Submitted(actor="x", body=b""))
        for position, job in enumerate(("b", "a", "c"), start=1)
    ]
    for name, value, reason in (
        (b"data", b"\xc1", "DecodeError"),
        (b"type", b"job.vanished", "unknown event type"),
        (b"tenant", b"\xff", "UnicodeDecodeError"),
        (b"version", b"one", "ValueError"),
        (b"version", b"3000000000", "ValueError"),
        (b"at", b"", "ValueError"),
    ):
        fields = list(good[1].fields)
        fields[fields.index(name) + 1] = value
        first, found, last = read([good[0], Entry(0, 2, fields), good[2]])
        assert isinstance(found, Poison)
        assert (found.job, found.entry) == ("a", Entry(0, 2, fields))
        assert reason in found.reason
        assert isinstance(first, Rows)
        assert isinstance(last, Rows)
        assert [*first.jobs(), *last.jobs()] == ["b", "c"]


def test_data_that_reaches_into_the_next_is_poison_too() -> None:
    """Data of a page is decoded together: two wrong ones must not make two right ones."""
    whole = encode_data(Completed(result={"a": {"result": 1}}))
    for parts in (
        (whole + whole, b""),
        (whole[:-8], whole[-8:]),
        (b"\x01", whole + b"\x01"),
        (b"\x81\xa6result", b"\x01" + whole),
    ):
        raw = [entry(1, "a", 1, 0, 5, Completed()), entry(2, "b", 1, 0, 5, Completed())]
        cut = [
            Entry(0, one.position, [*one.fields[:-1], part])
            for one, part in zip(raw, parts, strict=True)
        ]
        assert all(isinstance(piece, Poison) for piece in read(cut))


def test_data_of_two_schemas_in_one_page_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "SCHEMA", 2)
    monkeypatch.setattr(codec, "upcast", lambda _kind, _schema, data: {**data, "stage": "old"})
    log = [entry(n, "a", n, 0, 5, Progressed(percent=n)) for n in (1, 2, 3)]
    for one in (log[0], log[2]):
        one.fields[-3] = b"2"  # type: ignore[index]
    (rows,) = read(log)
    assert isinstance(rows, Rows)
    assert [one.stage for one in rows.data if isinstance(one, Progressed)] == ["", "old", ""]
    assert list(rows.shown) == [
        b'{"percent":1.0}',
        b'{"percent":2.0,"stage":"old"}',
        b'{"percent":3.0}',
    ]


def test_bodies_together_are_as_bodies_alone() -> None:
    whole = b'{"args":[1],"kwargs":{}}'
    for raws in (
        [whole, whole],
        [b'{"args":[1', b"]}"],
        [whole + b"," + whole, b'{"args":[', b"1]}"],
        [b"7", whole],
        [whole, b'{"args":["\\u0000"]}'],
        [b" ", whole],
        [],
    ):
        together, alone = bodies_of(raws), [body_of(raw) for raw in raws]
        assert list(map(_parts, together)) == list(map(_parts, alone))


def _parts(body: Body | None) -> tuple[bytes, bytes | None, bytes | None] | None:
    return (body.shown, body.args, body.kwargs) if body else None


def test_what_follows_a_poison_event_of_the_same_job_is_parked() -> None:
    log = [
        entry(1, "a", 1, 0, 1, Submitted(actor="x", body=b"")),
        entry(2, "b", 1, 0, 1, Submitted(actor="x", body=b"")),
        entry(3, "a", 3, 1, 1, Started(worker="w")),
        entry(4, "a", 2, 1, 1, Completed()),
        entry(5, "b", 2, 1, 1, Started(worker="w")),
    ]
    fold = JobFold()
    assert take(fold, read(log)) == [
        (3, "version 3 of the job follows 1"),
        (4, "behind position 3 of this job"),
    ]
    assert fold.births["a"].state["state"] == "pending"
    assert fold.births["b"].state["state"] == "processing"


def test_events_of_parked_and_refused_jobs_are_sifted_out() -> None:
    log = [
        entry(position, job, 1, 0, 1, Submitted(actor="x", body=b""))
        for position, job in enumerate("abcabc", start=1)
    ]
    sifter = Sifter({"a"}, {"b": "why"})
    (piece,) = read(log)
    rows = sifter.sift(piece)
    assert [(one.entry, one.reason) for one in sifter.parked] == [
        (log[0], "behind a parked event of this job"),
        (log[1], "why"),
        (log[3], "behind position 1 of this job"),
        (log[4], "behind position 2 of this job"),
    ]
    assert rows is not None
    assert list(rows.page.positions) == [3, 6]
    assert rows.jobs() == ["c", "c"]
    assert rows.last == log[5]


@pytest.mark.parametrize(
    ("raw", "args"),
    [
        (b'{"args": [1, 1e5], "kwargs": {}}', "[1,1e5]"),
        (b'{"args":["\\u0000"]}', '["\u2400"]'),
        (b'{"args":["\\\\u0000 \\n"]}', r'["\\u0000 \n"]'),
        (b'{"args":["\\ud83d\\ude00 \\ud800"]}', '["😀 \ufffd"]'),
        ('{"args":["ö\u2028"]}'.encode(), '["ö\u2028"]'),
        (b'{"args":[NaN,-Infinity],"kwargs":null}', "[null,null]"),
        (b'{"args":null,"kwargs":1}', None),
        (b'{"kwargs":{}}', None),
    ],
)
def test_bodies_are_read_as_python_wrote_them(raw: bytes, args: str | None) -> None:
    body = body_of(raw)
    assert body is not None
    assert (body.args and json.loads(body.args)) == (args and json.loads(args))
    assert json.loads(body.shown).get("args") == (args and json.loads(args))
    assert b"\n" not in body.shown


@pytest.mark.parametrize("raw", [b"[1]", b"\x80\x02", b"", b"[" * 100_000, b'{"a":1,}'])
def test_other_bodies_are_no_json(raw: bytes) -> None:
    assert body_of(raw) is None


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("nul\0", '"nul\u2400"'),
        ("\\u0000 \\\0", '"\\\\u0000 \\\\\u2400"'),
        ({(1, 2): b"\0", None: 1}, '{"(1, 2)":"AA==","None":1}'),
        ([float("inf"), float("nan")], "[null,null]"),
    ],
)
def test_json_that_both_stores_take(value: object, encoded: str) -> None:
    assert json.loads(to_json(value)) == json.loads(encoded)
    assert b"\\u0000" not in to_json(value).replace(b"\\\\", b"")


def test_texts_lose_only_what_stores_refuse() -> None:
    assert clean_text("a\0ö\ud800\U0001f600\t") == "a\u2400ö\ufffd\U0001f600\t"


def test_stamps_are_exact_and_end_with_the_year_9999() -> None:
    assert stamp(1_795_231_787_000_001) == "2026-11-21 03:29:47.000001"
    assert stamp(1) == "1970-01-01 00:00:00.000001"
    assert stamp(LAST) == stamp(2**63) == "9999-12-31 23:59:59.999999"
