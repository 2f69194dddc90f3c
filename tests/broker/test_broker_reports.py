"""Tries the coalescing of progress and output with a clock of its own, and then through a worker."""

from __future__ import annotations

import threading

import dramatiq
import msgspec
import pytest
from broker_kit import Run
from broker_log import History
from hypothesis import given
from hypothesis import strategies as st

from triton import TritonBroker, current_job
from triton.broker.reports import OUTPUT_INTERVAL, OUTPUT_SIZE, PROGRESS_INTERVAL, Reports, Said
from triton.events.codec import decode_data
from triton.events.types import SCHEMA, EventData, Failed, Output, Progressed, StepCompleted


class Clock:
    """Monotonic seconds that pass when a test says so; remembers what was to be woken when."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wakes: list[float] = []

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports(clock: Clock) -> Reports:
    return make(clock)


def make(clock: Clock) -> Reports:
    return Reports("job", 2, "worker:w", wake=clock.wakes.append, clock=clock)


def said(taken: list[Said]) -> list[EventData]:
    """What packed reports say; checks what the script is told beside it."""
    found = []
    for (header, data), _ in taken:
        job, attempt, _, by, kind, percent, stage, step = msgspec.msgpack.decode(header)
        assert (job, attempt, by) == ("job", 2, "worker:w")
        event = decode_data(kind, SCHEMA, data)
        match event:
            case Progressed():
                assert (percent, stage) == (event.percent, event.stage)
            case StepCompleted():
                assert step == event.name
        found.append(event)
    return found


def numbers(taken: list[Said]) -> list[int]:
    return [msgspec.msgpack.decode(header)[2] for (header, _), _ in taken]


def test_the_first_progress_goes_at_once_and_the_latest_wins(
    reports: Reports, clock: Clock
) -> None:
    reports.progress(1, "a")
    assert clock.wakes[-1] <= clock.now
    assert said(reports.take()) == [Progressed(percent=1, stage="a")]
    reports.progress(2, "b")
    reports.progress(3, "c")
    assert reports.take() == []
    assert reports.due() == clock.wakes[-1] == clock.now + PROGRESS_INTERVAL
    clock.now += PROGRESS_INTERVAL
    assert said(reports.take()) == [Progressed(percent=3, stage="c")]
    assert reports.due() is None


def test_output_waits_for_more_up_to_its_interval(reports: Reports, clock: Clock) -> None:
    reports.output("a")
    clock.now += OUTPUT_INTERVAL / 2
    reports.output("b")
    assert reports.take() == []
    assert clock.wakes == [clock.now + OUTPUT_INTERVAL / 2] * 2 == [reports.due()] * 2
    clock.now += OUTPUT_INTERVAL / 2
    assert said(reports.take()) == [Output(chunk="ab")]
    assert reports.take(everything=True) == []


def test_much_output_goes_at_once_in_pieces_that_fit_an_entry(
    reports: Reports, clock: Clock
) -> None:
    text = "".join(chr(65 + i % 26) for i in range(OUTPUT_SIZE * 5 + 1))
    reports.output(text)
    assert clock.wakes == [clock.now]
    pieces = [each.chunk for each in said(reports.take()) if isinstance(each, Output)]
    assert "".join(pieces) == text
    assert max(len(piece) for piece in pieces) <= OUTPUT_SIZE * 2


@pytest.mark.parametrize(
    ("rate", "token"),
    [(50, "token "), (2_000, "token "), (50_000, "token "), (500, "a line of a report\n" * 20)],
    ids=["a model", "a fast model", "a loop", "a log"],
)
def test_streamed_output_is_tens_of_entries_a_second_and_never_waits_long(
    reports: Reports, clock: Clock, rate: int, token: str
) -> None:
    """Two seconds of output, taken when it is due. Thousands of entries would drown the log."""
    seconds = 2
    entries, waited = 0, 0.0
    since: list[float] = []
    for _ in range(rate * seconds):
        clock.now += 1 / rate
        reports.output(token)
        since.append(clock.now)
        if min(clock.wakes) <= clock.now:
            clock.wakes.clear()
            entries += len(reports.take())
            waited = max(waited, clock.now - since[0])
            since.clear()
    assert waited <= OUTPUT_INTERVAL + 1 / rate + 1e-9
    assert entries <= seconds * 40


def test_a_step_goes_after_what_was_said_before_it(reports: Reports) -> None:
    reports.output("before")
    reports.progress(10, "s")
    reports.step(StepCompleted(name="one", result={"x": 1}))
    reports.output("after")
    packed = reports.take(everything=True)
    assert [type(each) for each in said(packed)] == [Progressed, Output, StepCompleted, Output]
    assert numbers(packed) == [1, 2, 3, 4]


def test_what_cannot_be_written_as_text_is_escaped(reports: Reports) -> None:
    reports.output("a\udcff")
    reports.progress(0, "\ud800")
    assert said(reports.take(everything=True)) == [
        Progressed(percent=0, stage="\\ud800"),
        Output(chunk="a\\udcff"),
    ]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("progress"), st.integers(0, 100)),
        st.tuples(st.just("output"), st.text(max_size=3 * OUTPUT_SIZE)),
        st.tuples(st.just("wait"), st.floats(0, 0.2)),
        st.tuples(st.just("take"), st.none()),
    ),
    max_size=40,
)


@given(ACTIONS)
def test_nothing_is_lost_and_numbers_are_dense(actions: list[tuple[str, object]]) -> None:
    clock = Clock()
    reports = make(clock)
    written, last, sent = "", None, []
    for name, value in actions:
        match name, value:
            case "progress", int():
                last = value
                reports.progress(value, "")
            case "output", str():
                written += value
                reports.output(value)
            case "wait", float():
                clock.now += value
            case "take", _:
                sent += reports.take()
                due = reports.due()
                assert due is None or due > clock.now, "whatever is due was taken"
    sent += reports.take(everything=True)
    events = said(sent)
    assert numbers(sent) == list(range(1, len(sent) + 1))
    assert (
        "".join(e.chunk for e in events if isinstance(e, Output))
        == written.encode("utf-8", "backslashreplace").decode()
    )
    progressed = [e.percent for e in events if isinstance(e, Progressed)]
    assert (progressed[-1] if progressed else None) == last
    assert reports.due() is None


def test_a_thousand_outputs_are_tens_of_entries_before_the_outcome(
    broker: TritonBroker, run: Run, history: History
) -> None:
    @dramatiq.actor
    def talk() -> None:
        job = current_job()
        for number in range(1000):
            job.progress(number / 10, f"step {number}")
            job.output(f"{number}\n")

    message = talk.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    events = history.of(message.message_id)
    output = "".join(e.data.chunk for e in events if isinstance(e.data, Output))
    assert output == "".join(f"{number}\n" for number in range(1000))
    progressed = [e.data for e in events if isinstance(e.data, Progressed)]
    assert progressed[-1] == Progressed(percent=99.9, stage="step 999")
    assert len(events) < 60
    assert history.types(message.message_id)[-1] == "completed"
    history.check()


def test_threads_of_an_actor_may_all_report(
    broker: TritonBroker, run: Run, history: History
) -> None:
    @dramatiq.actor
    def talk() -> None:
        job = current_job()

        def write(name: str) -> None:
            for number in range(200):
                job.output(f"{name}{number};")

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    message = talk.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    text = "".join(
        e.data.chunk for e in history.of(message.message_id) if isinstance(e.data, Output)
    )
    pieces = text.rstrip(";").split(";")
    assert sorted(pieces) == sorted(f"{name}{n}" for name in "abcd" for n in range(200))
    assert [p for p in pieces if p[0] == "a"] == [f"a{n}" for n in range(200)]


def test_a_new_attempt_begins_its_reports_anew(
    broker: TritonBroker, run: Run, history: History
) -> None:
    @dramatiq.actor(max_retries=1)
    def talk() -> None:
        job = current_job()
        job.output(f"attempt {job.attempt}")
        if job.attempt == 1:
            raise ValueError("again")

    message = talk.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    output = [e.data for e in history.of(message.message_id) if isinstance(e.data, Output)]
    assert output == [Output(chunk="attempt 1"), Output(chunk="attempt 2")]


def test_a_percent_out_of_range_is_refused(
    broker: TritonBroker, run: Run, history: History
) -> None:
    @dramatiq.actor(max_retries=0)
    def work(percent: float) -> None:
        current_job().progress(percent)

    messages = [work.send(101), work.send(-0.1)]
    with run(broker):
        broker.join("default", timeout=30_000)
    for message in messages:
        assert history.types(message.message_id) == ["submitted", "started", "failed"]


def test_what_is_no_text_fails_its_job_and_not_the_worker(
    broker: TritonBroker, run: Run, history: History
) -> None:
    odd: dict[str, object] = {"bytes": b"x", "nothing": None, "thing": object(), "text": "50"}

    @dramatiq.actor(max_retries=0)
    def work(kind: str, name: str) -> None:
        job, value = current_job(), odd[name]
        match kind:
            case "output":
                job.output(value)  # type: ignore[arg-type]
            case "stage":
                job.progress(1, value)  # type: ignore[arg-type]
            case _:
                job.progress(value)  # type: ignore[arg-type]

    cases = [("output", "bytes"), ("output", "thing"), ("stage", "nothing"), ("percent", "text")]
    cases += [("percent", "thing"), ("output", "text")]
    messages = [work.send(*case) for case in cases]
    with run(broker):
        broker.join("default", timeout=30_000)
    for message in messages[:-1]:
        failed = history.of(message.message_id)[-1].data
        assert isinstance(failed, Failed)
        assert failed.error.type == "TypeError"
    assert history.types(messages[-1].message_id)[-1] == "completed"
