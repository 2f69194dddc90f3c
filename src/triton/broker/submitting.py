"""Owns what a sent message becomes: a submission of its own, or a part of the running job's outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from dramatiq import Actor, Message

from triton.broker.hooks import holds_message
from triton.broker.personal import PersonalData
from triton.broker.prepare import Sender, prepared
from triton.broker.proxy import JobProxy
from triton.errors import ValidationError
from triton.events.submission import Submission
from triton.keys import partition_of
from triton.payloads import Payloads
from triton.signature import Signature, check_call
from triton.submit import child_id


class Submitting:
    """Of one broker. `by` is who submits where no job does, and `worker` who does where one does; `keep_ms`
    are the milliseconds after its end for which a job answers to its idempotency key."""

    def __init__(
        self,
        *,
        by: str,
        worker: Callable[[], str],
        partitions: int,
        keep_ms: int,
        payloads: Payloads,
        personal: PersonalData,
        actors: Mapping[str, Actor[Any, Any]],
        signatures: Mapping[str, Signature | None],
    ) -> None:
        self._by = by
        self._worker = worker
        self._partitions = partitions
        self._keep_ms = keep_ms
        self._payloads = payloads
        self._personal = personal
        self._actors = actors
        self._signatures = signatures

    def submission(
        self, message: Message[Any], delay: int | None, proxy: JobProxy | None
    ) -> Submission:
        """What the log takes; `delay` in milliseconds, `proxy` is the job that sends it, if one does.

        Raises ValidationError for what cannot be a job, ErasedError and UnavailableError where it has
        personal data.
        """
        sender = Sender(
            by=self._by if proxy is None else self._worker(),
            partitions=self._partitions,
            keep_ms=self._keep_ms,
            most=self._payloads.most,
            parent=proxy,
            sealing=self._personal.sealing_for(message),
        )
        actor = self._actors.get(message.actor_name)
        signature = self._signatures.get(message.actor_name)
        # What follows from an outcome is not refused: it becomes a job, whose failure everybody sees.
        if signature is not None and not (proxy is not None and proxy.after_actor):
            check_call(signature, message.actor_name, message.args, message.kwargs)
        now = time.time_ns() // 1000
        return self._payloads.shrink(prepared(message, sender, actor=actor, delay=delay, now=now))

    def follow(self, proxy: JobProxy, message: Message[Any], delay: int | None) -> Message[Any]:
        """Keep what a job's end sends until its outcome is committed. Answers the message under its job's id.

        Raises as `submission` does.
        """
        if proxy.nothing_follows:
            return message
        if message.message_id == proxy.claimed.job:
            proxy.retry = (message, delay or 0)
            return message
        if self._partitions > 1 and not holds_message(proxy.options, message.message_id):
            # Not one atomic step across partitions: an id derived from the outcome makes a repeat known.
            retries = int(proxy.options.get("retries", 0))
            derived = child_id(proxy.claimed.job, retries, proxy.followed)
            message = message.copy(message_id=derived)
        proxy.followed += 1
        try:
            submission = self.submission(message, delay, proxy)
        except ValidationError as error:
            # Hooks raise into Dramatiq's log only, where nobody would see what never followed.
            proxy.unsent = proxy.unsent or error
            raise
        if self._partition_of(submission.job) == self._partition_of(proxy.claimed.job):
            proxy.outbox.append(submission)
        else:
            # A job that is run again may repeat it long after it ended.
            proxy.apart.append(msgspec.structs.replace(submission, keep_ms=self._keep_ms))
        return under(message, submission.job)

    def _partition_of(self, job: str) -> int:
        return partition_of(job, self._partitions)


def under(message: Message[Any], job: str) -> Message[Any]:
    """The message under the id of the job that it became."""
    if job == message.message_id:
        return message
    return (message.message if isinstance(message, JobProxy) else message)._replace(message_id=job)
