"""Owns who submits jobs through an API that is killed, and who follows all events of a log there."""

from __future__ import annotations

import threading
import uuid
from typing import Any, Self

import msgspec

from eventually import eventually
from triton.client import Client
from triton.errors import TritonError

#: Jobs in one call.
TOGETHER = 10


class Follower:
    """Every event of the log from its begin, as one API process tells it; a thread. A context."""

    def __init__(self, client: Client, from_: str = "earliest") -> None:
        #: As they came: partition, position, type, subject and so on.
        self.events: list[dict[str, Any]] = []
        #: After the event of the same index.
        self.cursors: list[str] = []
        self.resets: list[str] = []
        self.problem: BaseException | None = None
        self.completed = 0
        self._client = client
        self._stream = client.subscribe(from_=from_, patience=None, on_reset=self.resets.append)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._thread.join(timeout=30)
        self._client.close()

    def _run(self) -> None:
        try:
            for message in self._stream.messages():
                if message.event == "message":
                    event = msgspec.json.decode(message.data)
                    self.events.append(event)
                    self.cursors.append(self._stream.cursor)
                    self.completed += event["type"] == "job.completed"
        except BaseException as error:
            self.problem = error

    def places(self) -> list[tuple[int, int]]:
        """Partition and position of each event, as they came."""
        return [(event["partition"], event["position"]) for event in self.events]


class Submitter(threading.Thread):
    """Submits jobs through one API process until each is answered for."""

    def __init__(self, client: Client, numbers: range) -> None:
        super().__init__(daemon=True)
        self.jobs: list[str] = []
        self.problem: BaseException | None = None
        #: What was said to it meanwhile.
        self.refusals: list[str] = []
        self._client = client
        self._numbers = numbers

    def run(self) -> None:
        try:
            with self._client:
                for first in range(self._numbers.start, self._numbers.stop, TOGETHER):
                    self._submit(range(first, min(first + TOGETHER, self._numbers.stop)))
        except BaseException as error:
            self.problem = error

    def _submit(self, numbers: range) -> None:
        key = uuid.uuid4().hex
        calls = [{"actor": "work", "args": [number]} for number in numbers]

        def receipts() -> list[str]:
            try:
                found = self._client.submit_many(calls, idempotency_key=key)
            except TritonError as error:
                self.refusals.append(str(error))
                return []
            return [receipt.id for receipt in found.jobs]

        self.jobs += eventually(receipts, timeout=120, interval=0.2)
