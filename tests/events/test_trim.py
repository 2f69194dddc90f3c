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
