"""The ring and the frames: what is in it, what fell out, and that no payload breaks a frame."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from triton.events.codec import encode_data
from triton.events.envelope import FIELDS
from triton.events.log import Entry
from triton.events.render import show_entry
from triton.events.types import Completed, EventData, Output, QueuePaused, Submitted, type_of
from triton.feed import frames
from triton.feed.cursor import Signer
from triton.feed.framer import Framer
from triton.feed.ring import NOTHING, Frame, Ring
from triton.feed.topics import topic
from triton.feed.wanted import Wanted
from triton.history import Filter

FRAMER = Framer(Signer(b"key"), "/triton/test")


def entry(
    position: int, job: str, data: EventData, *, raw: bytes | None = None, version: int = 1
) -> Entry:
    values = {
        b"type": type_of(data).encode(),
        b"job": job.encode(),
        b"version": b"%d" % version,
        b"attempt": b"0",
        b"at": b"1700000000000001",
        b"schema": b"1",
        b"tenant": b"default",
        b"data": encode_data(data) if raw is None else raw,
    }
    fields = [part for name in FIELDS for part in (name, values.get(name, b""))]
    return Entry(0, position, fields)


def make(found: Entry) -> Frame:
    return FRAMER.entry("epoch", found)


def positions(frames: Sequence[Frame]) -> list[int]:
    return [frame.position for frame in frames]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300)), max_size=60),
    st.integers(1, 12),
    st.integers(200, 3000),
    st.integers(0, 70),
)
def test_the_ring_holds_a_dense_end_of_the_log_and_finds_each_job_s_part(
    entries: list[tuple[str, int]], capacity: int, max_bytes: int, after: int
) -> None:
    ring = Ring(0, make, capacity=capacity, max_bytes=max_bytes)
    for position, (job, size) in enumerate(entries, start=1):
        ring.append(entry(position, job, Output(chunk="x" * size)))
    assert ring.last == len(entries)
    assert ring.last - ring.oldest + 1 <= capacity
    assert ring.oldest <= max(1, ring.last)
    for job in "abc":
        found, raw, complete, _ = ring.read(topic("job", job), after, 10**9)
        kept = [p for p in range(ring.oldest, ring.last + 1) if entries[p - 1][0] == job]
        assert positions(found) == [p for p in kept if p > after]
        assert complete
        assert raw == b"".join(frame.raw for frame in found)
        if ring.covers(after):
            everything = [p for p, (of, _) in enumerate(entries, 1) if of == job and p > after]
            assert positions(found) == everything


def test_a_read_sees_what_came_after_the_same_question() -> None:
    ring = Ring(0, make, capacity=4, max_bytes=10**6)
    for position in (1, 2):
        ring.append(entry(position, "a", Output(chunk="x")))
        found = ring.read(topic("job", "a"), 0, 10**6).frames
        assert positions(found) == list(range(1, position + 1))
        assert ring.read(topic("job", "b"), 0, 10**6) == NOTHING


def test_what_a_filter_chooses_is_chosen_once_and_sees_what_came_after() -> None:
    ring = Ring(0, make, capacity=4, max_bytes=10**6)
    for position in (1, 2, 3):
        ring.append(entry(position, "ab"[position % 2], Output(chunk=f"<{position}>")))
        of_b, other = (Wanted(Filter(jobs=frozenset((job,)))) for job in "ba")
        choice = ring.chosen(0, 0, of_b)
        chosen = [n for n in (1, 3) if n <= position]
        assert [n for n in (1, 2, 3) if b"<%d>" % n in choice.raw] == chosen
        assert (choice.last, positions(choice.frames)) == (position, chosen)
        assert choice.jobs == {"b"}
        again = ring.chosen(0, 0, Wanted(Filter(jobs=frozenset("b"))))
        assert again.raw is choice.raw
        assert ring.chosen(0, 0, other).raw != choice.raw


def test_a_read_ends_at_the_byte_limit_but_always_moves_on() -> None:
    ring = Ring(0, make, capacity=10, max_bytes=10**6)
    for position in range(1, 6):
        ring.append(entry(position, "a", Output(chunk="x" * 1000)))
    after, steps = 0, []
    while True:
        found, _, complete, _ = ring.read(topic("job", "a"), after, 10)
        steps.append(positions(found))
        if complete:
            break
        after = found[-1].position
    assert steps == [[1], [2], [3], [4], [5]]


def test_a_batch_is_plain_only_where_nothing_is_left_to_decide() -> None:
    def plain(*events: tuple[int, EventData], most: int = 10**6) -> bool:
        ring = Ring(0, make, capacity=10, max_bytes=10**6)
        for position, (version, data) in enumerate(events, start=1):
            ring.append(entry(position, "a", data, version=version))
        return ring.read(topic("job", "a"), 0, most).plain

    said, done = Output(chunk="x"), Completed(result=None)
    assert plain((4, said), (5, said))
    assert not plain((4, said), (6, said)), "an event in between is missing"
    assert not plain((4, said), (5, done)), "the stream is to say that the job ended"
    assert not plain((4, said), (5, said), most=1), "more follows"


def test_a_frame_is_made_once_for_all_clients() -> None:
    made = []
    ring = Ring(0, lambda found: made.append(found) or make(found), capacity=4, max_bytes=10**6)
    ring.append(entry(1, "a", Output(chunk="x")))
    assert not made
    for _ in range(3):
        ring.read(topic("job", "a"), 0, 10**6)
    assert len(made) == 1


@given(st.text())
def test_no_payload_breaks_its_frame(text: str) -> None:
    for data in (Output(chunk=text), Completed(result={text: [text]})):
        raw = make(entry(1, "a", data)).raw
        head, line, last, *rest = raw.decode().split("\n")
        assert (head[:6], line[:4], last, rest) == ("data: ", "id: ", "", [""])
        assert len(head.splitlines()) == 1
        shown = json.loads(head[6:])["data"]
        assert text in (shown.get("chunk"), *(shown.get("result") or ()))


def test_fields_come_in_the_order_event_data_id_with_lf_only() -> None:
    assert frames.event(b"{}", "abc") == b"data: {}\nid: abc\n\n"
    assert frames.control("end", {"a": 1}, "abc") == (
        b'event: triton.end\ndata: {"a":1}\nid: abc\n\n'
    )
    assert frames.bye("draining", 5) == (
        b'retry: 5\nevent: triton.bye\ndata: {"reason":"draining","retry_ms":5}\n\n'
    )


def test_what_json_cannot_hold_is_shown_as_a_problem_and_keeps_its_place() -> None:
    for data, raw in (
        (Completed(result={None: 1}), None),
        (Output(chunk=""), b"\xc1 no msgpack"),
    ):
        shown = json.loads(show_entry(entry(7, "a", data, raw=raw), "/s").json)
        assert shown["position"] == 7
        assert shown["type"] == type_of(data)
        assert "problem" in shown["data"]


def test_a_message_with_half_a_surrogate_pair_or_none_at_all_is_still_shown() -> None:
    body = json.dumps({"args": ["\ud800"], "kwargs": {}}).encode()
    shown = json.loads(show_entry(entry(1, "a", Submitted(actor="x", body=body)), "/s").json)
    assert shown["data"]["args"] == ["\ud800"]
    for strange in (b"\x80pickle", b"[]", b'{"args": 1', json.dumps({"a": 1}, indent=1).encode()):
        line = show_entry(entry(1, "a", Submitted(actor="x", body=strange)), "/s").json
        assert json.loads(line)["data"]["args"] is None
    pretty = json.dumps({"args": [1], "kwargs": {"b": 2}}, indent=1).encode()
    line = show_entry(entry(1, "a", Submitted(actor="x", body=pretty)), "/s").json
    assert b"\n" not in line
    assert json.loads(line)["data"]["kwargs"] == {"b": 2}


def test_no_topic_has_an_administrative_event_and_it_is_named_by_its_place() -> None:
    ring = Ring(0, make, capacity=4, max_bytes=10_000)
    assert ring.append(entry(1, "", QueuePaused(queue="q"))) == ()
    assert ring.read(topic("job", ""), 0, 10_000) == NOTHING
    ring.append(entry(2, "a", Output(chunk="x")))
    assert positions(ring.read(topic("job", "a"), 0, 10_000).frames) == [2]
    shown = json.loads(show_entry(entry(1, "", QueuePaused(queue="q")), "/triton/test").json)
    assert (shown["id"], shown["data"]) == ("0:1", {"queue": "q", "reason": ""})
