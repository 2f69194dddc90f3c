"""Facts in, sentences out: what a person reads about a job in each state it can be in."""

from __future__ import annotations

from typing import Any

import pytest

from triton.causes import Happened, cause, span, who
from triton.explain import explain
from triton.facts import Facts, Pause, Queue

#: 2026-01-31 12:00:00 UTC, in microseconds; events happen so many seconds before it.
NOW = 1_769_860_800_000_000
ERROR = {"type": "ValueError", "message": "no  luck\n", "traceback": "..."}


def event(kind: str, ago: float, attempt: int = 0, by: str = "system", **data: Any) -> Happened:
    at = NOW - int(ago * 1_000_000)
    return Happened(
        type=f"job.{kind}", at=at, position=7, version=1, attempt=attempt, by=by, data=data
    )


SUBMITTED = event("submitted", 60, by="user:ann", actor="work")
STARTED = event("started", 50, 1, by="worker:w1", worker="w1")
LOST = event("lease_lost", 30, 1, worker="w1", deaths=1)
RETRY = event(
    "retry_scheduled",
    40,
    1,
    by="worker:w1",
    error=ERROR,
    retries=1,
    due="2026-01-31T12:00:04.000000Z",
)
ASKED = event("cancel_requested", 5, 2, by="user:bob", reason="too slow")


def facts(state: str, *events: Happened, queue: Queue | None = None, **changes: Any) -> Facts:
    return Facts(
        **{
            "now": NOW,
            "job": "j1",
            "state": state,
            "attempt": 1,
            "queue": queue or Queue(name="q"),
            "events": events,
            **changes,
        }
    )


CASES = {
    "waits behind others": (
        facts(
            "pending", SUBMITTED, queue=Queue(name="q", waiting=9, running=4, ahead=3), attempt=0
        ),
        [
            "It waits for a worker in queue q since 2026-01-31 11:59:00 UTC (1 min).",
            "3 jobs are before it; 9 wait there, 4 run now.",
        ],
        "It starts when those before it have started, as attempt 1.",
    ),
    "is of an actor that nobody has": (
        facts("pending", SUBMITTED, actor="wrok", declared=False),
        ["No worker has ever said that it has an actor wrok."],
        "Start a worker that has the actor wrok, or cancel this job and submit it under the right name.",
    ),
    "is next": (
        facts("pending", SUBMITTED, queue=Queue(name="q", waiting=1, running=0, ahead=0)),
        ["Nothing is before it; 1 waits there, 0 run now."],
        "The next free worker starts it.",
    ),
    "has a time to live": (
        facts(
            "pending",
            event("submitted", 5, actor="work", expires="2026-01-31T12:00:09.000000Z"),
            attempt=0,
        ),
        ["It fails if it has not started by 2026-01-31 12:00:09 UTC."],
        "The next free worker starts it.",
    ),
    "no worker listens": (
        facts("pending", SUBMITTED, queue=Queue(name="q", waiting=1, ahead=0, workers=0)),
        ["No worker is known to listen to queue q."],
        "Start a worker that has an actor with queue q.",
    ),
    "the queue is paused": (
        facts(
            "pending",
            SUBMITTED,
            queue=Queue(
                name="q",
                ahead=0,
                workers=0,
                paused=Pause(by="user:eve", at=NOW - 3_600_000_000, reason="upgrade."),
            ),
        ),
        ["The queue is paused by user:eve since 2026-01-31 11:00:00 UTC: upgrade."],
        "`triton queues resume q` lets workers take it.",
    ),
    "waits again after a worker died": (
        facts("pending", SUBMITTED, STARTED, LOST),
        [
            "since 2026-01-31 11:59:30 UTC (30 s).",
            "Worker w1 is gone: attempt 1 lost its lease, the first of this job.",
        ],
        "The next free worker starts it.",
    ),
    "waits after a failed attempt": (
        facts("pending", SUBMITTED, STARTED, RETRY, event("due", 1, 1), error=ERROR),
        ["since 2026-01-31 11:59:59 UTC", "Its last attempt failed: ValueError: no luck."],
        "",
    ),
    "delayed by who submitted it": (
        facts("scheduled", SUBMITTED, due=NOW + 7_500_000_000, attempt=0),
        ["2026-01-31 14:05:00 UTC (in 2 h 5 min).", "It was submitted to start later."],
        "At that time it takes its place in queue q.",
    ),
    "a retry": (
        facts("scheduled", SUBMITTED, STARTED, RETRY, due=NOW + 4_000_000),
        [
            "(in 4 s).",
            "Attempt 1 failed (ValueError: no luck), so it runs again: this is retry 1.",
        ],
        "",
    ),
    "snoozed": (
        facts("scheduled", STARTED, event("snoozed", 1, 1, reason="rate"), due=NOW + 1),
        ["Attempt 1 asked to be run again later: rate."],
        "",
    ),
    "due, and nobody came": (
        facts("scheduled", SUBMITTED, due=NOW - 9_000_000, queue=Queue(name="q", workers=0)),
        ["It was due at 2026-01-31 11:59:51 UTC, 9 s ago, and no worker has looked since."],
        "No worker is known to listen to queue q.",
    ),
    "runs, for the third time": (
        facts(
            "processing",
            SUBMITTED,
            RETRY,
            event("lease_lost", 9, 2, worker="w2", deaths=1),
            worker="w3",
            attempt=3,
            started=NOW - 5_000_000,
            percent=41.0,
            stage="page 3",
        ),
        [
            "Worker w3 runs its attempt 3 since 2026-01-31 11:59:55 UTC (5 s), at 41 %, page 3.",
            "Before that: attempt 1 failed (ValueError: no luck); "
            "attempt 2 lost its lease (worker w2 died).",
        ],
        "It ends with what its actor returns or raises.",
    ),
    "is asked to stop": (
        facts("processing", ASKED, worker="w", cancel_requested=True, reason="too slow"),
        ["user:bob asked it to stop: too slow."],
        "Its worker hears of it with the next heartbeat",
    ),
    "its worker is silent": (
        facts("processing", STARTED, worker="w1", lease_until=NOW - 2_000_000),
        ["Its worker has not been heard of: the lease ended 2 s ago."],
        "gives it back to the queue, or ends it.",
    ),
    "completed": (
        facts("completed", SUBMITTED, started=NOW - 90_000_000, finished=NOW),
        ["Its attempt 1 completed at 2026-01-31 12:00:00 UTC after 1 min."],
        "Nothing: it has ended for good.",
    ),
    "failed for its error": (
        facts("failed", SUBMITTED, RETRY, finished=NOW, error=ERROR, reason="error", attempt=2),
        [
            "its last attempt raised ValueError: no luck, and no retry was left or wanted.",
            "Before that: attempt 1 failed (ValueError: no luck).",
        ],
        "`triton jobs requeue j1` sends it round again.",
    ),
    "poison": (
        facts("failed", LOST, error={"type": "WorkerDied", "message": "4"}, reason="died"),
        ["its workers died, more often than a job may (WorkerDied: 4)."],
        "",
    ),
    "expired": (
        facts("failed", SUBMITTED, error=None, reason="expired", has_message=False),
        ["it was not started in time (no error was recorded)."],
        "its message is gone, so it cannot be requeued. Submit it anew.",
    ),
    "took too long": (
        facts("failed", error={"type": "TimeLimitExceeded", "message": "2 s"}, reason="time_limit"),
        ["it ran for longer than its time limit (TimeLimitExceeded: 2 s)."],
        "",
    ),
    "failed for a reason of later": (
        facts("failed", SUBMITTED, error=ERROR, reason="moon {phase}"),
        ["moon {phase}: ValueError: no luck."],
        "",
    ),
    "cancelled while it waited": (
        facts(
            "cancelled", SUBMITTED, event("cancelled", 3, by="user:ann", reason="dup"), reason="dup"
        ),
        ["user:ann cancelled it before it was done", ": dup."],
        "",
    ),
    "cancelled while it ran": (
        facts(
            "cancelled",
            ASKED,
            event("cancelled", 3, 2, by="worker:w1", reason="cancelled while running"),
            reason="cancelled while running",
        ),
        ["user:bob cancelled it while it ran", ": too slow."],
        "",
    ),
    "only this life counts": (
        facts(
            "processing", RETRY, LOST, event("requeued", 20, by="user:ann"), STARTED, worker="w1"
        ),
        ["Worker w1 runs its attempt 1 since an unknown time"],
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_summary_and_what_is_next(name: str) -> None:
    given, said, following = CASES[name]
    explained = explain(given)
    for part in said:
        assert part in explained.summary
    assert following in explained.next
    assert (explained.job, explained.state) == ("j1", given.state)
    assert "  " not in explained.summary
    assert [one.position for one in explained.because] == [7] * len(given.events)


def test_earlier_lives_are_causes_but_no_reasons() -> None:
    given, *_ = CASES["only this life counts"]
    explained = explain(given)
    assert "Before that" not in explained.summary
    assert "user:ann sent it round again." in [one.text for one in explained.because]


@pytest.mark.parametrize(
    ("happened", "text"),
    [
        (SUBMITTED, "user:ann submitted it."),
        (
            event("submitted", 0, by="worker:w", due="2026-01-31T12:00:04.5Z"),
            "Worker w submitted it, to start at 2026-01-31 12:00:04 UTC.",
        ),
        (event("submitted", 0, by="system"), "An application submitted it."),
        (event("submitted", 0, by="system:webhooks"), "system:webhooks submitted it."),
        (STARTED, "Attempt 1 began on worker w1."),
        (
            RETRY,
            "Attempt 1 failed: ValueError: no luck. Retry 1 was set for 2026-01-31 12:00:04 UTC.",
        ),
        (event("released", 0, by="worker:w"), "Worker w gave it back unfinished."),
        (ASKED, "user:bob asked it to stop: too slow."),
        (event("cancel_requested", 0, by="system"), "An application asked it to stop."),
        (event("cancelled", 0, by="user:bob", reason="old"), "It was cancelled by user:bob: old."),
        (
            event("cancelled", 0, by="system", reason="flushed"),
            "It was cancelled: flushed.",
        ),
        (event("requeued", 0, by="key:1", reason="fixed"), "key:1 sent it round again: fixed."),
        (
            event("failed", 0, reason="rejected", error=ERROR),
            "It failed: it could not be run (ValueError: no luck).",
        ),
        (event("replaced", 0, by="user:x", reason="newer"), "job.replaced by user:x: newer."),
        (
            event("retry_scheduled", 0, 2),
            "Attempt 2 failed: no error was recorded. A retry was set for once.",
        ),
    ],
)
def test_an_event_as_a_sentence(happened: Happened, text: str) -> None:
    assert cause(happened) == text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 ms"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (4.25, "4.2 s"),
        (61, "1 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_400 * 3, "3 days"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert span(int(seconds * 1_000_000)) == said


def test_who() -> None:
    assert [who(by) for by in ("", "system", "worker:a", "worker:", "user:b")] == [
        "Triton",
        "Triton",
        "Worker a",
        "worker:",
        "user:b",
    ]
