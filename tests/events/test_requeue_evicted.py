"""Owns a requeue that brings its job's head along: taken where nothing happened since, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from log_steps import Steps
from partition_model import Sent

from triton import keys
from triton.events.replies import claimed
from triton.events.types import Error, Failed

FAILED = Failed(error=Error(type="E"))


class Evicted:
    """A job that failed, and whose head has left."""

    def __init__(self, steps: Steps, *, unique: str = "") -> None:
        self.steps = steps
        steps.run(steps.submit(Sent("gone", "q", b"body", unique=unique)), steps.claim("w"))
        steps.run(steps.finish("gone", data=FAILED))
        self.head_key, self.body_key = (of(steps.prefix, "gone") for of in (keys.job, keys.body))
        steps.run(steps.scripts.trim(steps.prefix, 3))
        found: Any = steps.client.hgetall(self.head_key)
        self.head = {name.decode(): value for name, value in found.items()}
        self.evict()

    def evict(self) -> None:
        self.steps.client.delete(self.head_key, self.body_key)

    def requeue(self, op: str, read: int = 3, epoch: str = "e") -> bytes:
        call = self.steps.scripts.requeue(
            self.steps.prefix,
            [("gone", b"fresh")],
            op=op,
            by="user:ann",
            read=(epoch, read),
            heads={"gone": self.head},
        )
        ((answer,),) = self.steps.run(call)
        assert isinstance(answer, bytes)
        return answer


def test_the_head_is_there_again_and_the_job_runs_with_the_next_attempt(steps: Steps) -> None:
    job = Evicted(steps)
    assert job.requeue("one") == b"ok"
    assert [steps.client.pttl(key) for key in (job.head_key, job.body_key)] == [-1, -1]
    (given,) = claimed(steps.run(steps.claim("w2"))[0]).jobs
    assert (given.job, given.attempt, given.body) == ("gone", 2, b"fresh")
    versions = [e[1][5] for e in steps.client.xrange(keys.log(steps.prefix))]
    assert versions == [b"4", b"5"]


def test_of_two_only_one_begins_a_life_and_a_repeat_of_it_none(steps: Steps) -> None:
    job = Evicted(steps)
    assert [job.requeue(op) for op in ("one", "two", "one")] == [b"ok", b"already", b"already"]


def test_whoever_read_before_another_life_is_told_although_its_head_left_again(
    steps: Steps,
) -> None:
    job = Evicted(steps)
    assert job.requeue("one") == b"ok"
    steps.run(steps.claim("w2"), steps.finish("gone", 2, data=FAILED))
    job.evict()
    assert job.requeue("late") == b"changed"
    steps.run(steps.scripts.trim(steps.prefix, 6))
    assert job.requeue("later") == b"changed", "what happened since has left the log"
    assert steps.client.exists(job.head_key, job.body_key) == 0


@pytest.mark.parametrize(("read", "epoch"), [(2, "e"), (4, "e"), (3, "other")])
def test_what_was_read_of_another_log_or_before_a_trim_is_not_taken(
    steps: Steps, read: int, epoch: str
) -> None:
    job = Evicted(steps)
    assert job.requeue("one", read, epoch) == b"changed"
    assert steps.client.exists(job.head_key) == 0


def test_too_much_to_look_through_is_read_again(steps: Steps) -> None:
    job = Evicted(steps)
    for start in range(0, 2001, 200):
        steps.run(steps.submit(*(Sent(f"n{start + n}", "other", b"") for n in range(200))))
    assert job.requeue("one") == b"changed"
    assert job.requeue("one", 203) == b"ok"


def test_a_job_whose_unique_key_is_taken_leaves_nothing_behind(steps: Steps) -> None:
    job = Evicted(steps, unique="digest")
    steps.run(steps.submit(Sent("other", "q", b"", unique="digest")))
    assert job.requeue("one") == b"held"
    assert steps.client.exists(job.head_key, job.body_key) == 0


def test_a_log_that_refuses_the_event_keeps_no_head_for_ever(steps: Steps) -> None:
    job = Evicted(steps)
    steps.client.xadd(keys.log(steps.prefix), {"not": "ours"}, id="9-0")
    with pytest.raises(Exception, match="cannot be written"):
        job.requeue("one")
    assert 0 < int(steps.client.pttl(job.head_key)) <= 60_000
