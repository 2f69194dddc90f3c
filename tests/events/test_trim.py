"""Owns what leaves the log, and what of it stays for the jobs that still live."""

from __future__ import annotations

from log_steps import Steps
from partition_model import Sent

from eventually import eventually
from triton import keys
from triton.events.replies import claimed
from triton.events.types import Cancelled, Error, Failed


def trim(steps: Steps, upto: int, most: int = 200) -> int:
    (gone,) = steps.run(steps.scripts.trim(steps.prefix, upto, most=most))
    return int(gone)


def evict(steps: Steps, grace_ms: int) -> None:
    end = int(steps.client.hget(keys.meta(steps.prefix), "pos") or 0)
    steps.run(steps.scripts.trim(steps.prefix, end, grace_ms=grace_ms))


def ttl(steps: Steps, job: str) -> int:
    return int(steps.client.pttl(keys.job(steps.prefix, job)))


def complete(steps: Steps, *jobs: str | Sent) -> None:
    steps.run(steps.submit(*jobs))
    given = claimed(steps.run(steps.claim("w", limit=100))[0])
    steps.run(*(steps.finish(job.job) for job in given.jobs))


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
    assert not list(steps.client.scan_iter(keys.body(steps.prefix, "*")))


def test_a_completed_head_stays_for_its_results_grace_and_no_longer(steps: Steps) -> None:
    complete(steps, "done")
    evict(steps, 60_000)
    assert 0 < ttl(steps, "done") <= 60_000
    complete(steps, "late")
    assert ttl(steps, "late") > 60_000
    end = int(steps.client.hget(keys.job(steps.prefix, "late"), "finished") or 0)
    steps.client.hset(keys.job(steps.prefix, "late"), "finished", end - 61_000_000)
    evict(steps, 60_000)
    eventually(lambda: not steps.client.exists(keys.job(steps.prefix, "late")), interval=0.001)


def test_trimming_never_lengthens_a_life(steps: Steps) -> None:
    complete(steps, "done")
    steps.client.pexpire(keys.job(steps.prefix, "done"), 1_000)
    evict(steps, 60_000)
    assert ttl(steps, "done") <= 1_000


def test_a_job_under_a_key_is_known_for_as_long_as_the_key_says(steps: Steps) -> None:
    keyed = Sent("keyed", "q", b"body", payload="digest", keep_ms=60_000)
    repeated = Sent("repeated", "q", b"body", keep_ms=60_000)
    complete(steps, keyed, repeated)
    evict(steps, 1)
    assert all(1_000 < ttl(steps, job) <= 60_000 for job in ("keyed", "repeated"))
    other = keyed._replace(payload="another")
    assert steps.run(steps.submit(keyed, repeated, other)) == [[b"exists", b"exists", b"differs"]]
    assert positions(steps) == []


def test_heads_of_whatever_ended_leave_and_those_that_live_stay(steps: Steps) -> None:
    """Failed and cancelled ones are made again of their history when they are requeued."""
    steps.run(steps.submit("failed", "cancelled", "runs"))
    steps.run(steps.claim("w", limit=3))
    failed = Failed(error=Error(type="E"))
    steps.run(steps.finish("failed", data=failed), steps.finish("cancelled", data=Cancelled()))
    steps.run(steps.submit("waits"))
    evict(steps, 60_000)
    assert all(0 < ttl(steps, job) <= 60_000 for job in ("failed", "cancelled"))
    bodies = [keys.body(steps.prefix, job) for job in ("failed", "cancelled")]
    assert all(0 < int(steps.client.pttl(body)) <= 60_000 for body in bodies)
    assert [ttl(steps, job) for job in ("runs", "waits")] == [-1, -1]
    assert steps.run(steps.requeue("failed", "cancelled")) == [[b"ok", b"ok"]]
    assert [ttl(steps, job) for job in ("failed", "cancelled")] == [-1, -1]
    assert [int(steps.client.pttl(body)) for body in bodies] == [-1, -1]
    given = claimed(steps.run(steps.claim("w2", limit=9))[0])
    assert {job.job: job.body for job in given.jobs} == dict.fromkeys(
        ("failed", "cancelled", "waits"), b"body"
    )


def test_another_epoch_or_another_entry_lets_nothing_leave(steps: Steps) -> None:
    steps.run(steps.submit("one", "two", "three"))
    raw = steps.client.xrange(keys.log(steps.prefix))
    two = raw[1][1][1::2]

    def asked(epoch: str, values: list[bytes]) -> int:
        call = steps.scripts.trim(steps.prefix, 2, epoch=epoch, values=values)
        (gone,) = steps.run(call)
        return int(gone)

    assert asked("another", two) == -1
    assert asked("e", raw[0][1][1::2]) == -1
    assert asked("e", [*two[:-1], two[-1] + b"x"]) == -1
    assert positions(steps) == [1, 2, 3]
    assert asked("e", two) == 2
    assert asked("e", two) == 2
    assert positions(steps) == [3]
