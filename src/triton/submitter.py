"""Owns submitting messages that others wrote down (an outbox, another broker's queue), one outcome each."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec
from dramatiq import Message
from dramatiq.errors import ConnectionClosed

from triton import keys
from triton.broker.intake import Intake, answering
from triton.broker.prepare import Sender, prepared
from triton.erasure.announced import sealing_for
from triton.erasure.keyring import keyring_of
from triton.errors import QueueClosedError, TritonError, UnavailableError, ValidationError
from triton.events.client import connect
from triton.events.scripts import Scripts
from triton.events.submission import Submission
from triton.payloads import Payloads
from triton.settings import Settings
from triton.signature import check_call, decode
from triton.submit import DEFAULT_QUEUE
from triton.terms import decode_declared
from triton.verdict import verdict_of
from triton.worker_role import check_url


class Accepted(NamedTuple):
    """It is a job now, or was one before."""

    job: str
    existing: bool


class Deferred(NamedTuple):
    """Not now: its queue drains, or the archive that its arguments belong into is away."""

    reason: str


class Refused(NamedTuple):
    """It cannot become a job."""

    reason: str


Outcome: TypeAlias = Accepted | Deferred | Refused


class Submitter:
    """Connects when it is first used. `by` is who submits."""

    def __init__(self, settings: Settings, *, by: str = "system") -> None:
        check_url(settings)
        self._client = connect(settings.redis_url)
        self._intake = Intake(
            self._client, Scripts.of(settings), settings.namespace, settings.partitions
        )
        self._payloads = Payloads.of(settings)
        self._keyring = keyring_of(settings)
        self._sender = Sender(
            by=by,
            partitions=settings.partitions,
            keep_ms=settings.idempotency_ms,
            most=self._payloads.most,
        )

    def submit(self, messages: Sequence[Message[Any]]) -> list[Outcome]:
        """What became of each. A repeat of a message whose job is known is the same job.

        The option `eta` (milliseconds since 1970) is when it may start. Arguments are checked against what
        the actor's workers announced. Raises UnavailableError when Redis does not answer: then any part may
        have been accepted.
        """
        try:
            return self._submit(messages)
        except ConnectionClosed as error:
            raise UnavailableError(str(error)) from error

    def queues_of(self, actors: Collection[str]) -> dict[str, str]:
        """The queue of each actor as its workers declared it, or `default`. Raises UnavailableError."""
        names = sorted(set(actors))
        found = self._announced(keys.actors, names)
        return {
            name: queue.decode() if queue else DEFAULT_QUEUE
            for name, queue in zip(names, found, strict=True)
        }

    def close(self) -> None:
        self._keyring.close()
        self._client.close()

    def _submit(self, messages: Sequence[Message[Any]]) -> list[Outcome]:
        now = time.time_ns() // 1000
        names = sorted({message.actor_name for message in messages})
        announced = self._announced(keys.signatures, names)
        signatures = dict(zip(names, map(decode, announced), strict=True))
        terms = map(decode_declared, self._announced(keys.terms, names))
        known = dict(zip(names, zip(signatures.values(), terms, strict=True), strict=True))
        sender = msgspec.structs.replace(self._sender, sealing=sealing_for(self._keyring, known))
        outcomes: dict[int, Outcome] = {}
        submissions: dict[int, Submission] = {}
        for index, message in enumerate(messages):
            try:
                signature = signatures[message.actor_name]
                if signature is not None:
                    check_call(signature, message.actor_name, message.args, message.kwargs)
                submission = prepared(message, sender, actor=None, delay=None, now=now)
                # Who submits by rows or messages may repeat one long after its job ended.
                kept = msgspec.structs.replace(submission, keep_ms=self._sender.keep_ms)
                submissions[index] = self._payloads.shrink(kept)
            except UnavailableError as error:
                outcomes[index] = Deferred(error.message)
            except TritonError as error:
                outcomes[index] = Refused(error.message)
            except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
                # Options that only Dramatiq's own code looks at; the others must not wait behind it.
                outcomes[index] = Refused(f"the message cannot be encoded: {error!r}")
        done = self._intake.submit(list(submissions.values())) if submissions else []
        for (index, submission), answer in zip(submissions.items(), done, strict=True):
            outcomes[index] = _outcome_of(submission, answer)
        return [outcomes[index] for index in range(len(messages))]

    def _announced(self, key: Callable[[str], str], names: Sequence[str]) -> list[bytes | None]:
        if not names:
            return []
        try:
            with answering():
                found = self._client.hmget(key(self._intake.prefixes[0]), list(names))
        except ConnectionClosed as error:
            raise UnavailableError(str(error)) from error
        return cast("list[bytes | None]", found)


def _outcome_of(submission: Submission, answer: str) -> Outcome:
    try:
        return Accepted(*verdict_of(submission, answer))
    except QueueClosedError as error:
        return Deferred(error.message)
    except ValidationError as error:
        # Due before the log server's now, after our clock: at once, the next time.
        return Deferred(error.message)
    except TritonError as error:
        return Refused(error.message)
