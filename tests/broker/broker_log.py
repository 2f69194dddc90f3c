"""Owns what tests ask of the log: the events of a job, and the promises that hold for every log."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import redis

from triton import keys
from triton.events.codec import decode_entry
from triton.events.envelope import Event
from triton.events.types import TERMINAL


class History:
    """The log of one namespace, read as a whole each time."""

    def __init__(self, client: redis.Redis, namespace: str, partitions: int = 1) -> None:
        self._client = client
        self._namespace = namespace
        self.partitions = partitions

    def events(self) -> list[Event]:
        """All events, partition by partition."""
        found = []
        for partition in range(self.partitions):
            key = keys.log(keys.prefix(self._namespace, partition))
            reply: Any = self._client.execute_command("XRANGE", key, "-", "+")
            entries = reply.items() if isinstance(reply, dict) else reply
            found += [decode_entry(partition, entry, _flat(fields)) for entry, fields in entries]
        return found

    def of(self, job: str) -> list[Event]:
        return [event for event in self.events() if event.job == job]

    def types(self, job: str) -> list[str]:
        """The types of a job's events in order, without the prefix `job.`"""
        return [event.type.removeprefix("job.") for event in self.of(job)]

    def jobs(self) -> dict[str, list[Event]]:
        found: dict[str, list[Event]] = defaultdict(list)
        for event in self.events():
            if event.job:
                found[event.job].append(event)
        return found

    def ended(self) -> Counter[str]:
        """How many jobs ended in which way."""
        ended = (event.type for event in self.events() if event.type in TERMINAL)
        return Counter(kind.removeprefix("job.") for kind in ended)

    def check(self) -> None:
        """What holds for every log: dense positions and versions, one attempt at a time, one end."""
        positions: dict[int, int] = {}
        for event in self.events():
            expected = positions.get(event.partition, 0) + 1
            assert event.position == expected, f"position {event.position} after {expected - 1}"
            positions[event.partition] = expected
        for job, events in self.jobs().items():
            self._check_job(job, events)

    @staticmethod
    def _check_job(job: str, events: list[Event]) -> None:
        kinds = [event.type.removeprefix("job.") for event in events]
        story = f"{job}: {kinds}"
        assert [event.version for event in events] == list(range(1, len(events) + 1)), story
        running, attempt = False, 0
        for index, (event, kind) in enumerate(zip(events, kinds, strict=True)):
            assert (kind == "submitted") == (index == 0), story
            if kind == "started":
                assert not running, f"two attempts at once: {story}"
                running, attempt = True, attempt + 1
            elif kind in ("lease_lost", "released", "retry_scheduled", "snoozed"):
                assert running, story
                running = False
            elif event.type in TERMINAL:
                assert index == len(events) - 1 or kinds[index + 1] == "requeued", story
                running = False
            assert event.attempt == attempt, f"attempt {event.attempt} at {kind}: {story}"


def _flat(fields: Any) -> list[bytes]:
    return (
        [part for pair in fields.items() for part in pair] if isinstance(fields, dict) else fields
    )
