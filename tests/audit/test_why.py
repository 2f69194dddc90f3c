"""`audit why` walks from a job to where it began and to what it caused, and names crashes and holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from past_log import PastLog
from tests.projections.log_writer import LogWriter

from triton import keys
from triton.audit.why import Why, why
from triton.errors import NotFoundError
from triton.events.codec import encode_data
from triton.events.submission import Submission
from triton.events.types import Completed, Error, Failed, Submitted
from triton.history import History
from triton.settings import Settings
from triton.stack.engines import Engines


@pytest.fixture
def writer(engines: Engines, namespace: str, redis_client: redis.Redis) -> Iterator[LogWriter]:
    with LogWriter(engines.redis_url, namespace) as opened:
        yield opened


@pytest.fixture
def past(engines: Engines, namespace: str, redis_client: redis.Redis) -> PastLog:
    return PastLog(Settings(redis_url=engines.redis_url, namespace=namespace), redis_client)


def ask(past: PastLog, job: str) -> Why:
    async def question(history: History) -> Why:
        return await why(history, job)

    return past.ask(question)


def submit(writer: LogWriter, job: str, *, because_of: str = "", by: str = "worker:w1") -> None:
    submission = Submission(
        job=job,
        queue="default",
        actor="act",
        tenant="t",
        by=by,
        causation=because_of,
        data=encode_data(Submitted(actor="act", body=b"{}")),
        body=b"{}",
    )
    writer.send(writer.scripts.submit(writer.prefix, [submission]))


def test_causation_is_walked_up_to_a_person_and_down_to_every_child(
    past: PastLog, writer: LogWriter
) -> None:
    submit(writer, "root", by="key:billing")
    submit(writer, "parent", because_of="job:root")
    submit(writer, "job", because_of="job:parent")
    submit(writer, "child", because_of="job:job")
    submit(writer, "stranger", because_of="job:other")
    submit(writer, "grandchild", because_of="job:child")
    submit(writer, "child-2", because_of="job:job")
    found = ask(past, "job")
    assert [(one.job, one.depth, one.position) for one in found.up] == [
        ("parent", 1, 2),
        ("root", 2, 1),
    ]
    assert found.origin == "key:billing"
    assert [(one.job, one.depth, one.parent) for one in found.down] == [
        ("child", 1, "job"),
        ("child-2", 1, "job"),
        ("grandchild", 2, "child"),
    ]
    assert not found.down_cut
    said = " ".join(found.because)
    assert (
        "It was caused by job parent, 2 steps from where it began; in the end by key:billing."
        in said
    )
    root = " ".join(ask(past, "root").because)
    assert "key:billing (an API key) submitted it" in root


def test_jobs_that_cause_each_other_end_the_walk(past: PastLog, writer: LogWriter) -> None:
    submit(writer, "a", because_of="job:b")
    submit(writer, "b", because_of="job:a")
    found = ask(past, "a")
    assert [one.job for one in found.up] == ["b"]
    assert [one.job for one in found.down] == ["b"]
    assert "of which nothing can be told any more" in found.origin


def test_crashes_holds_and_what_ended_it_are_named_with_their_positions(
    past: PastLog, writer: LogWriter
) -> None:
    submit(writer, "job", by="user:ann")
    hold = writer.scripts.hold
    writer.send(hold(writer.prefix, "default", "paused", by="user:bob", reason="deploy"))
    writer.send(hold(writer.prefix, "other", "paused", by="user:bob", reason="not ours"))
    writer.send(hold(writer.prefix, "default", "open", by="user:bob"))
    writer.claim()
    writer.client.zadd(keys.leases(writer.prefix, "default"), {"job": 1})
    (again,) = writer.claim()
    error = Error(type="ValueError", message="no such page")
    writer.finish(again, Failed(error=error))
    found = ask(past, "job")
    assert [(one.position, one.type, one.by) for one in found.queue] == [
        (2, "queue.paused", "user:bob"),
        (4, "queue.resumed", "user:bob"),
    ]
    assert found.queue[0].text == "user:bob paused queue default: deploy."
    said = " ".join(found.because)
    assert "It is failed since" in said
    assert "1 worker died under it (0:6)." in said
    assert "What ended it: its last attempt raised ValueError: no such page" in said
    assert [one.type for one in found.story] == [
        *("job.submitted", "job.started", "job.lease_lost", "job.started", "job.failed"),
    ]
    with pytest.raises(NotFoundError, match="knows no job 'nobody'"):
        ask(past, "nobody")


def test_only_the_last_life_of_an_id_that_came_back_is_told(
    past: PastLog, writer: LogWriter
) -> None:
    submit(writer, "job", by="user:ann")
    for claimed in writer.claim():
        writer.finish(claimed, Completed())
    writer.client.delete(keys.job(writer.prefix, "job"))
    submit(writer, "job", by="user:bob")
    found = ask(past, "job")
    assert [one.by for one in found.story] == ["user:bob"]
    assert found.state == "pending"
