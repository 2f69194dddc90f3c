"""Tries large arguments and results: by reference through the archive, checked, and clear errors without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq import Message
from dramatiq.results import ResultMissing

from eventually import eventually
from stored_message import message_of
from triton import TritonBroker, keys, step
from triton.errors import DecodeError, NotFoundError, ValidationError
from triton.events.types import Completed, Failed, RetryScheduled, StepCompleted, Submitted
from triton.references import MARK, MAX_ARCHIVED, reference_in
from triton.submit import MAX_BODY

LARGE = "ä" * 60_000


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an archive that the settings name."""
    monkeypatch.setenv("TRITON_ARCHIVE_URL", (tmp_path / "archive").as_uri())
    return tmp_path / "archive"


def objects(archive: Path) -> list[Path]:
    return [path for path in (archive / "objects").rglob("*") if path.is_file()]


def test_large_arguments_and_results_go_by_reference_and_come_back(
    archive: Path, make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker()
    seen: list[tuple[str, str, int]] = []

    @dramatiq.actor(max_retries=1)
    def work(text: str, *, other: str, number: int = 0) -> dict[str, Any]:
        seen.append((text, other, number))
        if len(seen) == 1:
            raise ValueError("once")
        return {"text": text, "bytes": b"\x00" * 10, "number": number}

    message = work.send(LARGE, other="o", number=7)
    with run(broker):
        result = message.get_result(block=True, timeout=30_000)
    assert seen == [(LARGE, "o", 7)] * 2, "the retry carries the reference"
    assert result == {"text": LARGE, "bytes": b"\x00" * 10, "number": 7}
    bodies = []
    for event in history.of(message.message_id):
        if isinstance(event.data, Submitted):
            bodies.append(event.data.body)
        elif isinstance(event.data, Completed):
            assert reference_in(event.data.result) is not None
    (body,) = bodies
    assert len(body) < 1_000
    assert reference_in(Message.decode(body).kwargs) is not None
    assert len(objects(archive)) == 2
    work.send(LARGE, other="o", number=7)
    assert len(objects(archive)) == 2, "the same arguments are stored once"
    history.check()


def test_what_follows_from_a_large_result_gets_it(
    archive: Path, make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker()

    @dramatiq.actor
    def grow(size: int) -> str:
        return "x" * size

    @dramatiq.actor
    def measure(text: str) -> int:
        return len(text)

    chain = grow.message(300_000) | measure.message()
    with run(broker):
        chain.run()
        assert chain.get_result(block=True, timeout=30_000) == 300_000
    history.check()


@pytest.mark.parametrize(("harm", "error"), [("changed", DecodeError), ("gone", NotFoundError)])
def test_arguments_that_are_not_what_they_were_fail_the_attempt(
    archive: Path,
    make_broker: MakeBroker,
    run: Run,
    history: History,
    harm: str,
    error: type[Exception],
) -> None:
    broker = make_broker()
    ran = []

    @dramatiq.actor(max_retries=1)
    def work(text: str) -> None:
        ran.append(text)

    message = work.send(LARGE)
    (stored,) = objects(archive)
    if harm == "gone":
        stored.unlink()
    else:
        stored.chmod(0o644)
        stored.write_bytes(stored.read_bytes().replace(b'"kwargs"', b'"kwarks"'))
    with run(broker):
        broker.join("default", timeout=30_000)
    data = [event.data for event in history.of(message.message_id)]
    assert sum(isinstance(each, RetryScheduled) for each in data) == 1
    failed = data[-1]
    assert isinstance(failed, Failed)
    assert failed.error.type == error.__name__
    assert ran == []


def test_a_large_step_is_recorded_by_reference(
    archive: Path, make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker()
    calls, seen = [], []

    def load() -> tuple[str, ...]:
        calls.append(1)
        return (LARGE, "end")

    @dramatiq.actor(max_retries=1)
    def work() -> int:
        seen.append(step("load", load))
        if len(seen) == 1:
            raise ValueError("once")
        return len(calls)

    message = work.send()
    with run(broker):
        assert message.get_result(block=True, timeout=30_000) == 1
    assert seen == [[LARGE, "end"]] * 2
    (done,) = [e.data for e in history.of(message.message_id) if isinstance(e.data, StepCompleted)]
    assert reference_in(done.result) is not None


def test_a_changed_result_is_noticed(archive: Path, make_broker: MakeBroker, run: Run) -> None:
    broker = make_broker()

    @dramatiq.actor
    def work() -> str:
        return LARGE

    message = work.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    (stored,) = eventually(lambda: objects(archive))
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1] + b"z")
    with pytest.raises(DecodeError, match=r"has SHA-256 .*, expected .*: its bytes were changed"):
        message.get_result()


def test_without_an_archive_what_is_too_large_says_what_to_set(
    broker: TritonBroker, run: Run, history: History
) -> None:
    @dramatiq.actor
    def work(text: str) -> str:
        return text

    with pytest.raises(ValidationError, match="set TRITON_ARCHIVE_URL") as refused:
        work.send("x" * MAX_BODY)
    assert refused.value.details["fields"][0]["field"] == "args"
    message = work.send("x" * 100_000)
    with run(broker):
        with pytest.raises(ResultMissing, match="set TRITON_ARCHIVE_URL"):
            message.get_result(block=True, timeout=30_000)
        broker.join("default", timeout=30_000)
    assert history.types(message.message_id) == ["submitted", "started", "completed"]


def test_there_is_an_end_to_what_the_archive_takes(archive: Path, make_broker: MakeBroker) -> None:
    make_broker()

    @dramatiq.actor
    def work(text: str) -> None: ...

    with pytest.raises(ValidationError, match=f"at most {MAX_ARCHIVED} are taken"):
        work.send("x" * MAX_ARCHIVED)
    with pytest.raises(ValidationError, match=f"at most {MAX_BODY} are taken") as refused:
        work.send_with_options(args=("x",), note="x" * MAX_BODY)
    assert refused.value.details["fields"][0]["field"] == "options"


def test_nobody_reads_what_is_another_s_by_its_reference(
    archive: Path, make_broker: MakeBroker, run: Run
) -> None:
    """A sender that knows a key must not have the object as its arguments, nor as its result."""
    broker = make_broker()
    secret = {MARK: {"key": "objects/sha256/aa/bb/aabb", "sha256": "aabb", "size": 1}}

    @dramatiq.actor
    def work(**kwargs: object) -> object:
        return kwargs["x"]

    with pytest.raises(ValidationError, match="is Triton's own"):
        work.send(**secret)
    message = work.send(x=secret)
    with run(broker), pytest.raises(ResultMissing, match="which is Triton's own"):
        message.get_result(block=True, timeout=30_000)


@pytest.mark.one_partition
def test_a_small_message_is_as_it_was(
    archive: Path, make_broker: MakeBroker, redis_client: redis.Redis, namespace: str
) -> None:
    make_broker()

    @dramatiq.actor
    def work(text: str) -> None: ...

    message = work.send("x" * 60_000)
    body = message_of(redis_client, keys.prefix(namespace, 0), message.message_id)
    assert body == message.encode()
    assert not archive.exists()
