"""Owns the scripts at their limits: many jobs, large and odd values, unknown jobs."""

from __future__ import annotations

from typing import Any

import pytest
from log_steps import Steps, submission
from partition_model import Sent

from triton import keys
from triton.events.codec import decode_entry
from triton.events.envelope import Event
from triton.events.heads import head_of
from triton.events.replies import answers, claimed
from triton.events.scripts import CHUNK, Scripts, pack_outcome, pack_report
from triton.events.types import (
    Cancelled,
    Completed,
    Error,
    Failed,
    Output,
    Progressed,
    RetryScheduled,
    Snoozed,
    StepCompleted,
    Submitted,
)
from triton.job import Head


def head(steps: Steps, job: str) -> Head:
    return head_of(job, 0, steps.client.hgetall(keys.job(steps.prefix, job)))


def events(steps: Steps) -> list[Event]:
    """The whole log; its positions are dense up to what the meta says."""
    raw: Any = steps.client.execute_command("XRANGE", keys.log(steps.prefix), "-", "+")
    found = [decode_entry(0, entry_id, fields) for entry_id, fields in raw]
    last = int(steps.client.hget(keys.meta(steps.prefix), "pos") or 0)
    assert [event.position for event in found] == list(range(1, last + 1))
    return found


def test_a_thousand_jobs_in_bulk(steps: Steps) -> None:
    jobs = [f"job-{n}" for n in range(1000)]
    chunks = [jobs[n : n + CHUNK] for n in range(0, 1000, CHUNK)]
    replies = steps.run(*(steps.submit(*chunk) for chunk in chunks))
    assert [word for reply in replies for word in answers(reply)] == ["ok"] * 1000
    again = steps.run(*(steps.submit(*chunk) for chunk in chunks))
    assert {word for reply in again for word in answers(reply)} == {"exists"}
    given = claimed(steps.run(steps.claim("w", limit=1000))[0])
    assert [job.job for job in given.jobs] == jobs
    outcomes = [pack_outcome(job, 1, "worker:w", Completed()) for job in jobs]
    for n in range(0, 1000, CHUNK):
        call = steps.scripts.finish(steps.prefix, outcomes[n : n + CHUNK])
        assert set(answers(steps.run(call)[0])) == {"ok"}
    assert len(events(steps)) == 3000
    assert steps.client.exists(keys.ready(steps.prefix, "q"), keys.leases(steps.prefix, "q")) == 0


def test_one_claim_takes_no_more_than_the_server_can_write(steps: Steps) -> None:
    """The server's Lua fails where a call gets 8,000 values, and half of the claim is written then."""
    jobs = [f"job-{n}" for n in range(4200)]
    steps.run(*(steps.submit(*jobs[n : n + 600]) for n in range(0, 4200, 600)))
    taken: list[str] = []
    for _ in range(5):
        given = claimed(steps.run(steps.claim("w", limit=100_000))[0])
        taken += [job.job for job in given.jobs]
    assert taken == jobs
    assert steps.client.zcard(keys.leases(steps.prefix, "q")) == 4200
    assert len(events(steps)) == 8400


def test_many_due_and_dead_jobs_are_handled_in_turns(steps: Steps) -> None:
    dead = [f"dead-{n:03}" for n in range(150)]
    steps.run(steps.submit(*dead), steps.claim("w", limit=150, lease_ms=1))
    steps.outlive_leases()
    due = [Sent(f"due-{n:03}", "q", b"", due=1 + n) for n in range(150)]
    steps.run(steps.submit(*due))
    taken: list[str] = []
    for claims in range(1, 5):
        given = claimed(steps.run(steps.claim("w2", limit=1000))[0])
        taken += [job.job for job in given.jobs]
        assert len(taken) == min(200 * claims, 300)
        if claims == 1:
            assert given.due_in_ms == 0
    assert sorted(taken) == sorted([*dead, *(each.job for each in due)])
    assert [job for job in taken if job.startswith("due")] == [each.job for each in due]
    lost = [event.job for event in events(steps) if event.type == "job.lease_lost"]
    assert lost == dead


def test_no_job_starts_that_expired_however_many_there_are(steps: Steps) -> None:
    """One call ends a hundred of them, and must not hand out the others."""
    late = [Sent(f"late-{n:03}", "q", b"", ttl=1) for n in range(150)]
    steps.run(steps.submit(*late[:100]), steps.submit(*late[100:], "lasting"))
    steps.outlive_expiry()
    taken = claimed(steps.run(steps.claim("w", limit=1000))[0])
    assert [job.job for job in taken.jobs] == ["lasting"]
    ended = [event for event in events(steps) if isinstance(event.data, Failed)]
    assert [event.job for event in ended] == [each.job for each in late]
    assert not steps.client.exists(keys.expires(steps.prefix))
    assert head(steps, "late-149").reason == "expired"


@pytest.mark.parametrize(
    "body",
    [b"", bytes(range(256)), b"\x00", b"\r\n+OK\r\n", b"\xff" * (512 * 1024)],
    ids=["empty", "every byte", "NUL", "protocol", "512 KiB"],
)
def test_bodies_come_back_as_they_were(steps: Steps, body: bytes) -> None:
    steps.run(steps.submit(Sent("a", "q", body)))
    assert claimed(steps.run(steps.claim("w"))[0]).jobs[0].body == body
    first = events(steps)[0].data
    assert isinstance(first, Submitted)
    assert first.body == body
    retry = RetryScheduled(error=Error(type="E"))
    packed = pack_outcome("a", 1, "worker:w", retry, body=body + b"2")
    steps.run(steps.scripts.finish(steps.prefix, [packed]))
    assert claimed(steps.run(steps.claim("w"))[0]).jobs[0].body == body + b"2"


#: What Lua or msgpack could take for something else: numbers, and every size class of text.
ODD = ["0", "1e3", "0x10", "nan", "inf", "-1", "nil", "true", " ", "%s", "{x}", "a:b", "ü" * 200]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_names_stay_text(steps: Steps, odd: str) -> None:
    sent = Sent(odd, odd, b"", 0, 0, 0, odd, odd, odd, odd, odd)
    steps.run(steps.submit(sent))
    given = claimed(steps.run(steps.claim(odd, queue=odd))[0])
    assert [job[:8] for job in given.jobs] == [(odd, 1, b"", odd, odd, odd, odd, odd)]
    steps.run(
        steps.scripts.report(
            steps.prefix,
            [
                pack_report(odd, 1, 1, odd, Progressed(percent=1, stage=odd)),
                pack_report(odd, 1, 2, odd, StepCompleted(name=odd, result=odd)),
                pack_report(odd, 1, 3, odd, Output(chunk=odd)),
            ],
        )
    )
    found = head(steps, odd)
    assert (found.worker, found.stage, found.queue, found.tenant) == (odd,) * 4
    assert steps.client.hkeys(keys.steps(steps.prefix, odd)) == [odd.encode()]
    steps.run(steps.scripts.cancel(steps.prefix, [odd], op=odd, by=odd, reason=odd))
    assert answers(
        steps.run(steps.scripts.cancel(steps.prefix, [odd], op=odd, by=odd, reason="other"))[0]
    ) == ["already"]
    packed = pack_outcome(odd, 1, odd, Snoozed(reason=odd))
    steps.run(steps.scripts.finish(steps.prefix, [packed]))
    assert (head(steps, odd).state, head(steps, odd).reason) == ("cancelled", odd)
    assert {event.queue for event in events(steps)} == {odd}


@pytest.mark.parametrize("length", [31, 32, 255, 256, 65_535, 65_536, 200_000])
def test_long_reasons_are_kept(steps: Steps, length: int) -> None:
    """The server's msgpack writes each size of text in another way."""
    reason = "r" * length
    steps.run(steps.submit("a", "b"), steps.claim("w"))
    call = steps.scripts.cancel(steps.prefix, ["a", "b"], op="1", by="u", reason=reason)
    assert answers(steps.run(call)[0]) == ["requested", "cancelled"]
    steps.run(steps.finish("a", data=Cancelled(reason=reason)))
    assert [getattr(event.data, "reason", "") for event in events(steps)[3:]] == [reason] * 3
    assert head(steps, "a").reason == head(steps, "b").reason == reason


@pytest.mark.parametrize("priority", [-1000, -129, -128, -33, -32, -1, 0, 127, 128, 255, 256, 1000])
@pytest.mark.parametrize("due", [0, 1, 2**31, 2**32, 1_767_225_600_000_001, 2**53 - 1])
def test_whole_numbers_stay_whole(steps: Steps, priority: int, due: int) -> None:
    steps.run(steps.submit(Sent("a", "q", b"", priority, due)))
    found = head(steps, "a")
    assert (found.priority, found.due, found.submitted) == (priority, due, events(steps)[0].at)
    steps.run(steps.submit(Sent("b", "q", b"", priority, 0, delay=2**50)))
    found = head(steps, "b")
    first, second = events(steps)
    assert second.data == Submitted(actor="act", body=b"", priority=priority, due=second.at + 2**50)
    assert found.due == second.at + 2**50
    assert first.version == 1


def test_smaller_priorities_are_sooner_and_equal_ones_in_order(steps: Steps) -> None:
    sent = [Sent(f"{p}/{n}", "q", b"", p) for n in range(3) for p in (1, 0, -1, 1000, -1000)]
    steps.run(steps.submit(*sent))
    given = claimed(steps.run(steps.claim("w", limit=100))[0])
    expected = [f"{p}/{n}" for p in (-1000, -1, 0, 1, 1000) for n in range(3)]
    assert [job.job for job in given.jobs] == expected


@pytest.mark.parametrize("percent", [0.1, 1 / 3, 99.99999999999999, 5e-324, 100, 1e300])
def test_percent_is_exact(steps: Steps, percent: float) -> None:
    steps.run(steps.submit("a"), steps.claim("w"))
    packed = pack_report("a", 1, 1, "w", Progressed(percent=percent))
    steps.run(steps.scripts.report(steps.prefix, [packed]))
    assert head(steps, "a").percent == percent


def test_unknown_jobs_are_missing_everywhere_and_leave_nothing(steps: Steps) -> None:
    before = steps.dump()
    held = [("ünknown", 1), ("", 0)]
    error = Error(type="E")
    ends = [Completed(), Failed(error=error), Cancelled(), RetryScheduled(error=error), Snoozed()]
    packed = [
        pack_outcome(job, n, "w", data, outbox=[submission(Sent("next", "q", b""))])
        for job, n in held
        for data in ends
    ]
    said = [Progressed(percent=1), Output(chunk="x"), StepCompleted(name="s")]
    reports = [pack_report(job, n, 1, "w", data) for job, n in held for data in said]
    replies = steps.run(
        steps.heartbeat(*held),
        steps.release(*held),
        steps.cancel("ünknown", ""),
        steps.requeue("ünknown", ""),
        steps.scripts.finish(steps.prefix, packed),
        steps.scripts.report(steps.prefix, reports),
    )
    assert [set(answers(reply)) for reply in replies] == [{"stale"}, *[{"missing"}] * 5]
    assert claimed(steps.run(steps.claim("w", queue="unknown"))[0]) == (None, [])
    assert steps.dump() == before


def test_no_jobs_at_all(steps: Steps) -> None:
    before = steps.dump()
    for call in (
        steps.submit(),
        steps.heartbeat(),
        steps.release(),
        steps.cancel(),
        steps.requeue(),
        steps.scripts.finish(steps.prefix, []),
        steps.scripts.report(steps.prefix, []),
    ):
        assert steps.run(call)[0] == []
    assert steps.dump() == before


def test_times_beyond_all_bounds_do_not_stop_a_script_halfway(steps: Steps) -> None:
    """A time to live that the server refuses would leave the event without the rest."""
    steps.scripts = Scripts(completed_ttl_ms=10**18, failed_ttl_ms=0)
    far = 2**53 - 1
    steps.run(steps.submit("a", "b", Sent("c", "q", b"", delay=2**60)))
    assert len(claimed(steps.run(steps.claim("w", limit=2, lease_ms=0))[0]).jobs) == 2
    steps.run(steps.finish("a"))
    retry = pack_outcome("b", 1, "w", RetryScheduled(error=Error(type="E")), delay=2**60)
    steps.run(steps.scripts.finish(steps.prefix, [retry]))
    assert (head(steps, "b").due, head(steps, "c").due) == (far, far)
    found = events(steps)
    assert [getattr(event.data, "due", 0) for event in found] == [0, 0, far, 0, 0, 0, far]
    steps.run(steps.submit("d"), steps.claim("w", lease_ms=10**18))
    steps.run(steps.cancel("b", "d"), steps.finish("d", data=Snoozed()))
    assert [event.type for event in events(steps)[9:]] == [
        "job.cancelled",
        "job.cancel_requested",
        "job.cancelled",
    ]
