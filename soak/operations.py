"""Owns what the load does: operations drawn from a seed, each with the answer that it got written down."""

from __future__ import annotations

import contextlib
import random
import time
from collections import deque
from typing import Any, Final

import httpx
import psycopg
from dramatiq import ConnectionClosed, Message
from msgspec.structs import asdict

from soak import actors
from soak.kinds import KINDS, QUEUE, SLOW
from soak.records import Answer, Asked, Journal, Wish
from triton import TritonBroker, outbox
from triton.errors import NotUniqueError, TritonError, ValidationError
from triton.submit import DEFAULT_TENANT, child_id, job_id_for
from triton.uniqueness import Conflict, Unique, fitting_id, unique_digest

#: How often each operation, compared with the others.
OPERATIONS: Final = {
    "single": 60,
    "http": 8,
    "document": 2,
    "chain": 4,
    "group": 3,
    "unique": 6,
    "hold": 2,
    "outbox": 4,
    "bulk": 2,
    "cancel": 5,
    "requeue": 3,
    "repeat": 3,
    "invalid": 2,
}
_DRAWN: Final = [name for name, kind in KINDS.items() if kind.weight and name not in OPERATIONS]
_WEIGHTS: Final = [KINDS[name].weight for name in _DRAWN]
_TRIES: Final = 6
#: Seconds after which nobody sends a message a second time.
_REPEATED: Final = 30.0


class Load:
    """Draws operations from a seed and does them one after the other."""

    def __init__(
        self,
        seed: int,
        journal: Journal,
        brokers: list[TritonBroker],
        api: httpx.Client,
        database_url: str,
    ) -> None:
        self._chance = random.Random(seed)
        self._journal = journal
        self._brokers = brokers
        self._api = api
        self._database_url = database_url
        self._seed = seed
        self._number = 0
        #: Jobs that may be cancelled, sent round again, or submitted a second time.
        self._patient: deque[str] = deque(maxlen=40)
        self._failing: deque[str] = deque(maxlen=40)
        self._keys: deque[int] = deque(maxlen=40)
        #: With the monotonic seconds at which they were sent.
        self._messages: deque[tuple[Message[Any], float]] = deque(maxlen=40)
        self.asked = 0

    def step(self) -> None:
        """One operation."""
        self._number += 1
        names, weights = list(OPERATIONS), list(OPERATIONS.values())
        (name,) = self._chance.choices(names, weights)
        getattr(self, f"_{name}")()

    def kill_workers(self, *, poison: bool) -> None:
        """A job that kills whoever runs it, twice; with `poison` another that never stops."""
        self._submit("killer", actors.killer.message(2))
        if poison:
            self._submit("poison", actors.killer.message(1000))

    # -- operations --------------------------------------------------------------------------------

    def _single(self) -> None:
        (kind,) = self._chance.choices(_DRAWN, _WEIGHTS)
        message = self._message(kind)
        remembered = {"patient": self._patient, "failing": self._failing}.get(kind)
        if remembered is not None:
            remembered.append(message.message_id)
        if kind == "quick":
            self._messages.append((message, time.monotonic()))
        delay = self._chance.randint(50, 6000) if kind == "delayed" else None
        self._submit(kind, message, delay=delay, calls_back=kind == "called_back")

    def _message(self, kind: str) -> Message[Any]:  # noqa: C901
        between = self._chance.uniform
        match kind:
            case "long":
                return actors.long.message(between(0.2, 3.0))
            case "busy":
                return actors.busy.message(between(0.1, 0.6))
            case "patient":
                return actors.patient.message(between(0.5, 3.0))
            case "failing":
                return actors.failing.message()
            case "flaky":
                return actors.flaky.message(self._chance.randint(1, 3))
            case "snoozing":
                return actors.snoozing.message(self._chance.randint(50, 2000))
            case "called_back":
                return actors.quick.message_with_options(args=(), on_success="succeeded")
            case "stepping":
                return actors.stepping.message(self._chance.randint(0, 2))
            case "expiring":
                ttl = self._chance.randint(50, 4000)
                return actors.long.message_with_options(args=(between(0.1, 0.5),), ttl=ttl)
            case "large":
                return actors.large.message(f"{self._number} " + "x" * 100_000)
            case "unknown_actor":
                return Message(QUEUE, "nobody", (), {}, {})
            case _:
                return actors.quick.message(self._number)

    def _bulk(self) -> None:
        messages = [actors.quick.message(i) for i in range(self._chance.choice((20, 60, 150)))]
        broker = self._chance.choice(self._brokers)
        answer = self._tried(lambda: broker.enqueue_many(messages))
        for message in messages:
            self._record(Asked(kind="bulk", job=message.message_id, answer=answer))

    def _chain(self) -> None:
        chain = [actors.quick.message(i) for i in range(self._chance.randint(2, 4))]
        ids = [message.message_id for message in chain]
        # What Dramatiq's pipeline does; its `run` would hide what became of the call.
        for message, after in zip(chain[-2::-1], chain[:0:-1], strict=True):
            message.options["pipe_target"] = after.asdict()
        self._submit("chain", chain[0], then=ids[1])
        for job, then in zip(ids[1:], [*ids[2:], ""], strict=True):
            self._record(Asked(kind="chain", job=job, answer="follows", then=then))

    def _group(self) -> None:
        for _ in range(3):
            self._submit("group", actors.quick.message())

    def _unique(self) -> None:
        """A few keys only, so that they meet."""
        conflict: Conflict = self._chance.choice(("return", "reject", "replace"))
        unique = Unique(key=f"{conflict} {self._chance.randint(1, 4)}", conflict=conflict)
        message = actors.long.message_with_options(args=(0.3,), unique=asdict(unique))
        digest = unique_digest(unique, DEFAULT_TENANT, "long", (), {})
        broker = self._chance.choice(self._brokers)
        sent: list[Message[Any]] = []
        answer = self._tried(lambda: sent.append(broker.enqueue(message)))
        # Without an answer it has the id that a repeat would have got.
        job = sent[0].message_id if sent else self._fitting(message.message_id, digest)
        self._record(Asked(kind=f"unique_{conflict}", job=job, answer=answer))

    def _fitting(self, job: str, digest: str) -> str:
        partitions = self._brokers[0].partitions
        if partitions == 1:
            return job
        return fitting_id(lambda n: child_id(job, 0, n) if n else job, digest, partitions)

    def _outbox(self) -> None:
        """Some jobs in a transaction of the application's own, which may be rolled back."""
        messages = [actors.quick.message(self._number) for _ in range(self._chance.randint(1, 5))]
        answer: Answer = "unknown"
        with (
            contextlib.suppress(psycopg.Error),
            psycopg.connect(self._database_url, connect_timeout=2) as connection,
        ):
            for message in messages:
                outbox.enqueue(connection, message)
            if self._chance.random() < 0.2:
                connection.rollback()
                answer = "refused"
            else:
                connection.commit()
                answer = "accepted"
        for message in messages:
            self._record(Asked(kind="outbox", job=message.message_id, answer=answer))

    def _hold(self) -> None:
        """A queue is paused, until the next of these or the end."""
        with contextlib.suppress(ConnectionClosed, TritonError):
            if not self._brokers[0].resume(SLOW):
                self._brokers[0].pause(SLOW, "the soak")

    def release(self) -> None:
        """Nothing may stay paused."""
        for _ in range(100):
            with contextlib.suppress(ConnectionClosed, TritonError):
                self._brokers[0].resume(SLOW)
                return
            time.sleep(0.1)

    def _http(self) -> None:
        self._call(self._number)
        self._keys.append(self._number)

    def _call(self, number: int) -> None:
        body = {"actor": "quick", "args": [number], "queue": QUEUE}
        self._post("http", f"{self._seed}-{number}", body)

    def _document(self) -> None:
        text = f"# Document {self._number}\n\n" + "A line of text.\n" * 200
        try:
            answer = self._api.post("/api/v1/documents", content=text.encode())
        except httpx.HTTPError:
            return
        if answer.status_code in (200, 201):
            kwargs = {"document": answer.json()["id"]}
            key = f"{self._seed}-{self._number}"
            # The archive may be full for a while: that must not fail the job.
            options = {"max_retries": 100, "min_backoff": 100, "max_backoff": 1000}
            body = {
                "actor": "documents.extract",
                "kwargs": kwargs,
                "queue": "documents",
                "options": options,
            }
            self._post("document", key, body)

    def _cancel(self) -> None:
        if self._patient:
            # The last few: most of them still wait or run.
            self._wish("cancel", self._chance.choice(list(self._patient)[-4:]))

    def _requeue(self) -> None:
        if self._failing:
            self._wish("requeue", self._chance.choice(self._failing))

    def _repeat(self) -> None:
        """The same again must not make a second job."""
        if self._keys and self._chance.random() < 0.5:
            self._call(self._chance.choice(self._keys))
        elif self._messages:
            message, sent = self._chance.choice(self._messages)
            # Without an idempotency key a job is known for as long as a result stays.
            if time.monotonic() - sent < _REPEATED:
                self._submit("quick", message)

    def _invalid(self) -> None:
        message = actors.quick.message("x" * (600 * 1024 if self._chance.random() < 0.3 else 1))
        self._submit("quick", message, delay=-1)

    # -- how they are sent -------------------------------------------------------------------------

    def _submit(
        self,
        kind: str,
        message: Message[Any],
        *,
        delay: int | None = None,
        then: str = "",
        calls_back: bool = False,
    ) -> None:
        broker = self._chance.choice(self._brokers)
        answer = self._tried(lambda: broker.enqueue(message, delay=delay))
        self._record(
            Asked(
                kind=kind, job=message.message_id, answer=answer, then=then, calls_back=calls_back
            )
        )

    def _tried(self, send: Any) -> Answer:
        for attempt in range(_TRIES):
            try:
                send()
            except (ValidationError, NotUniqueError):
                return "refused"
            except (ConnectionClosed, TritonError):
                # A caller who gives up, or one who sends the same again.
                if self._chance.random() < 0.4 or attempt == _TRIES - 1:
                    return "unknown"
                time.sleep(0.2)
            else:
                return "accepted"
        return "unknown"

    def _post(self, kind: str, key: str, body: dict[str, Any]) -> None:
        answer: Answer = "unknown"
        for _ in range(_TRIES):
            try:
                reply = self._api.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": key})
            except httpx.HTTPError:
                time.sleep(0.2)
                continue
            if reply.status_code == 202:
                answer = "accepted"
                assert reply.json()["id"] == job_id_for(DEFAULT_TENANT, key)
                break
            if reply.status_code < 500:
                raise RuntimeError(f"the API refused {body}: {reply.status_code} {reply.text}")
            time.sleep(0.2)
        self._record(Asked(kind=kind, job=job_id_for(DEFAULT_TENANT, key), answer=answer))

    def _wish(self, what: Any, job: str) -> None:
        self._journal.write(Wish(what=what, job=job))
        try:
            self._api.post(f"/api/v1/jobs/{job}/{what}", json={"reason": "the soak"})
        except httpx.HTTPError:
            return

    def _record(self, asked: Asked) -> None:
        self._journal.write(asked)
        self.asked += 1
