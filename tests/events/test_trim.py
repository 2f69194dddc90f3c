"""Owns what leaves the log, and what of it stays for the jobs that still live."""

from __future__ import annotations

from log_steps import Steps
from partition_model import Sent

from triton import keys
from triton.events.scripts import claimed


def trim(steps: Steps, upto: int, most: int = 200) -> int:
    (gone,) = steps.run(steps.scripts.trim(steps.prefix, upto, most=most))
    return int(gone)


def positions(steps: Steps) -> list[int]:
    raw = steps.client.xrange(keys.log(steps.prefix))
    return [int(entry_id.split(b"-")[0]) for entry_id, _ in raw]


def test_entries_leave_in_bounded_steps_up_to_a_position(steps: Steps) -> None:
    steps.run(steps.submit(*map(str, range(10))))
    assert [trim(steps, 7, most=3) for _ in range(4)] == [3, 6, 7, 7]
    assert positions(steps) == [8, 9, 10]
    assert trim(steps, 0) == 0
    assert trim(steps, 99) == 10
    assert positions(steps) == []
    steps.run(steps.submit("next"))
    assert positions(steps) == [11]
    assert steps.client.hget(keys.meta(steps.prefix), "trimmed") == b"10"


def test_jobs_start_with_their_message_after_its_entry_is_gone(steps: Steps) -> None:
    sizes = (0, 1, 255, 256, 65_535, 65_536)
    bodies = {f"job-{size}": b"\xc4" * size for size in sizes}
    steps.run(steps.submit(*(Sent(job, "q", body) for job, body in bodies.items())))
    trim(steps, 6)
    given = claimed(steps.run(steps.claim("w", limit=10))[0])
    assert {job.job: job.body for job in given.jobs} == bodies


def test_a_log_may_change_to_the_new_layout_while_jobs_live(steps: Steps) -> None:
    """As an operator does once no process of the version before runs any more."""
    meta = keys.meta(steps.prefix)
    steps.client.hset(meta, "layout", 1)
    steps.run(steps.submit(*(Sent(f"old-{n}", "q", b"old", 3) for n in range(4))))
    steps.run(steps.claim("w", limit=2), steps.release(("old-1", 1)))
    steps.client.hset(meta, "layout", 2)
    steps.run(steps.submit(Sent("new", "q", b"new", 3)), steps.finish("old-0"))
    trim(steps, 99)
    given = claimed(steps.run(steps.claim("w", limit=10))[0])
    assert [(job.job, job.body) for job in given.jobs] == [
        *((f"old-{n}", b"old") for n in (1, 2, 3)),
        ("new", b"new"),
    ]
    for job in given.jobs:
        steps.run(steps.finish(job.job, job.attempt))
    assert not steps.client.keys(keys.body(steps.prefix, "*"))
