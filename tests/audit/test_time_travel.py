"""`audit at` and `audit diff` against a fold of a few lines, over Redis and the archive."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from past_log import PastLog
from tests.projections.log_writer import LogWriter

from archived_log import ArchivedLog, folder_archive
from triton.archive.file import FileArchive
from triton.audit.cuts import cut_of
from triton.audit.differences import Difference, difference
from triton.audit.instants import Instant, instant
from triton.audit.timeline import Chosen, JobAt, JobsAt, job_at, jobs_at
from triton.errors import NotFoundError, ValidationError
from triton.events.envelope import Event
from triton.events.types import Submitted
from triton.history import History
from triton.settings import Settings
from triton.stack.engines import Engines

NOW = 1_800_000_000_000_000


#: Event -> the state after it; of the others the state stays.
AFTER = {
    **dict.fromkeys(("due", "released", "lease_lost", "requeued"), "pending"),
    "retry_scheduled": "scheduled",
    "snoozed": "scheduled",
    "started": "processing",
    **{end: end for end in ("completed", "failed", "cancelled")},
}
#: Event -> the fields of its data that the job takes over, and the fields that it resets.
TAKES = {
    "started": ("worker",),
    "progressed": ("percent", "stage"),
    **dict.fromkeys(("cancel_requested", "cancelled", "failed"), ("reason",)),
    "lease_lost": ("deaths",),
}
RESETS: dict[str, dict[str, Any]] = {
    "started": {"percent": 0.0, "stage": ""},
    "completed": {"percent": 100.0, "reason": ""},
    "requeued": {"deaths": 0, "reason": ""},
}


def fold(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """What each job was after these events: written apart from everything that it is compared with."""
    jobs: dict[str, dict[str, Any]] = {}
    for event in events:
        if not event.job:
            continue
        kind, data = event.type.removeprefix("job."), event.data
        if isinstance(data, Submitted):
            jobs[event.job] = {"by": event.by, "queue": event.queue, "percent": 0.0, "stage": ""}
            jobs[event.job] |= {"worker": "", "deaths": 0, "reason": ""}
            jobs[event.job]["state"] = "scheduled" if data.due else "pending"
        job = jobs[event.job]
        job["state"] = AFTER.get(kind, job["state"])
        job |= {name: getattr(data, name) for name in TAKES.get(kind, ())} | RESETS.get(kind, {})
        job["worker"] = job["worker"] if job["state"] == "processing" else ""
        job |= {name: getattr(event, name) for name in ("attempt", "version", "position")}
    return jobs


def instants(past: PastLog, seed: int, count: int) -> list[tuple[Instant, list[Event]]]:
    """Random instants of every kind, each with the events that it includes."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        event = chance.choice(past.events)
        if chance.random() < 0.5:
            at = event.at + chance.choice((-1, 0, 1))
            found.append((Instant(text=str(at), at=at), [e for e in past.events if e.at <= at]))
            continue
        when = instant(f"{event.partition}:{event.position}", NOW)
        upto = [
            e
            for e in past.events
            if (
                e.position <= event.position if e.partition == event.partition else e.at <= event.at
            )
        ]
        found.append((when, upto))
    return found


def test_any_job_at_any_instant_is_the_fold_of_its_events_until_then(past: PastLog) -> None:
    chance = random.Random(5)
    names = sorted({event.job for event in past.events if event.job})
    compared = 0
    for when, events in instants(past, 1, 60):
        job = chance.choice(names)
        expected = fold(events).get(job)

        async def ask(history: History, when: Instant = when, job: str = job) -> JobAt:
            return await job_at(history, job, await cut_of(history, when, job))

        if expected is None:
            with pytest.raises(NotFoundError, match="knew no job"):
                past.ask(ask)
            continue
        view = past.ask(ask).job
        assert {name: getattr(view, name) for name in expected} == expected, (job, when)
        compared += 1
    assert compared > 20


def test_queues_and_lists_at_any_instant(past: PastLog) -> None:
    for when, events in instants(past, 2, 12):
        expected = fold(events)

        async def ask(history: History, when: Instant = when) -> tuple[JobsAt, JobsAt]:
            cut = await cut_of(history, when)
            listed = await jobs_at(history, cut, Chosen(status="pending"), limit=1000)
            return await jobs_at(history, cut, Chosen()), listed

        found, listed = past.ask(ask)
        assert found.states == Counter(job["state"] for job in expected.values())
        assert found.events == len(events)
        pending = {name for name, job in expected.items() if job["state"] == "pending"}
        assert {one.job for one in listed.jobs} == pending
        assert listed.total == len(pending)
        assert (found.beheaded, found.unread) == (0, 0)
        if found.queues:
            (queue,) = found.queues
            assert queue.states == found.states
            # Held from its first pause in any partition to the last end of one.
            ends = {e.partition: e.type for e in events if e.type.startswith("queue.")}
            assert bool(queue.held) == any(end != "queue.resumed" for end in ends.values())


def test_what_changed_between_two_instants(past: PastLog) -> None:
    for (one, first), (two, second) in zip(
        instants(past, 3, 10), instants(past, 4, 10), strict=True
    ):
        if len(first) > len(second):
            one, first, two, second = two, second, one, first

        async def ask(history: History, one: Instant = one, two: Instant = two) -> Difference:
            cuts = await cut_of(history, one), await cut_of(history, two)
            return await difference(history, *cuts, limit=1000)

        before, after = fold(first), fold(second)
        if {(e.partition, e.position) for e in first} - {(e.partition, e.position) for e in second}:
            continue  # neither is before the other
        found = past.ask(ask)
        expected = {
            (name, before[name]["state"] if name in before else "", job["state"])
            for name, job in after.items()
            if name not in before or before[name]["state"] != job["state"]
        }
        assert {(each.job, each.before, each.after) for each in found.changed} == expected
        assert found.total == len(expected)
        assert found.new == len(after.keys() - before.keys())
        assert sum(found.events.values()) == len(second) - len(first)
        assert {s: c.after for s, c in found.states.items() if c.after} == Counter(
            job["state"] for job in after.values()
        )


def test_an_instant_that_means_nothing_says_what_was_expected(past: PastLog) -> None:
    for text in ("yesterday", "12:99:00", "", "2026-13-01T00:00:00Z", "1:2:3"):
        with pytest.raises(ValidationError, match="expected"):
            instant(text, NOW)
    with pytest.raises(ValidationError, match="no zone"):
        instant("2026-01-31T12:00:00", NOW)

    async def ask(history: History, text: str) -> object:
        return await cut_of(history, instant(text, NOW))

    for text, error, said in (
        ("7", ValidationError, "say which one, like 0:7"),
        ("2:7", ValidationError, "expected 0 to 1"),
        ("0:99999", NotFoundError, "no position 99999"),
    ):
        with pytest.raises(error, match=said):
            past.ask(lambda history, text=text: ask(history, text))


def test_the_second_instant_must_not_be_the_earlier_one(past: PastLog) -> None:
    async def ask(history: History) -> object:
        cuts = [await cut_of(history, instant(text, NOW)) for text in ("now", "0:0")]
        return await difference(history, *cuts)

    with pytest.raises(ValidationError, match="give the earlier instant first"):
        past.ask(ask)


def test_a_job_at_an_instant_opens_at_most_two_segments(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the others at most the footers are read."""
    opened: set[str] = set()
    read_range = FileArchive.read_range

    def noted(self: FileArchive, key: str, offset: int, size: int) -> bytes:
        if offset + size < self.size(key):
            opened.add(key)
        return read_range(self, key, offset, size)

    settings = msgspec.structs.replace(
        Settings(redis_url=engines.redis_url, archive_url=tmp_path.as_uri()),
        namespace="t-two-segments",
    )
    with redis.Redis.from_url(engines.redis_url) as client:
        client.set_response_callback("XRANGE", lambda response, **_: response)
        past = PastLog(settings, client)
        with LogWriter(engines.redis_url, settings.namespace, 1, 0) as writer:
            for _ in range(60):
                writer.run()
            past.events = past.read_all()
            archived = ArchivedLog(
                client, folder_archive(tmp_path), settings.namespace, 0, block_events=8
            )
            archived.seal_all(list(range(16, 177, 16)))
            archived.trim()
            monkeypatch.setattr(FileArchive, "read_range", noted)
            for event in past.events[:150:7]:
                for text in (f"0:{event.position}", str(event.at)):
                    when = (
                        Instant(text=text, at=event.at) if ":" not in text else instant(text, NOW)
                    )

                    async def ask(
                        history: History, when: Instant = when, job: str = event.job
                    ) -> JobAt:
                        return await job_at(history, job, await cut_of(history, when, job))

                    opened.clear()
                    assert past.ask(ask).job.version == event.version
                    assert 1 <= len(opened) <= 2, (text, opened)
