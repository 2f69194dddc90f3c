"""Owns the task queue on Triton: the job's head tells everything."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from dramatiq import Message

from triton import keys
from triton.broker import TritonBroker
from triton.broker.intake import answering
from triton.events.client import send
from triton.events.heads import head_of
from triton.events.replies import answers
from triton.job import Head
from triton.references import reference_in
from triton.task_queue.protocol import Cancellation, Task

_CANCELLATIONS: Final[dict[str, Cancellation]] = {
    "cancelled": "cancelled",
    "requested": "requested",
    "already": "requested",
    "ended": "ended",
    "missing": "missing",
}


class TritonTaskQueue:
    """`by` is who cancels."""

    def __init__(self, broker: TritonBroker, *, by: str = "system") -> None:
        self._broker = broker
        self._by = by

    @property
    def broker(self) -> TritonBroker:
        return self._broker

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Task:
        job = self._broker.enqueue(message, delay=delay)
        return Task(
            id=job.message_id,
            state="scheduled" if delay else "pending",
            actor=job.actor_name,
            queue=job.queue_name,
        )

    def status(self, task: Task | str) -> Task:
        """Raises ConnectionClosed where Redis does not answer, UnavailableError for a result whose archive
        (or key, where it is personal) does not; ErasedError where the key is gone.
        """
        job = task if isinstance(task, str) else task.id
        with answering():
            fields = self._broker.client.hgetall(keys.job(self._broker.prefix_of(job), job))
        if not fields:
            return Task(id=job, state="unknown")
        head = head_of(job, 0, cast("Mapping[bytes, bytes]", fields))
        return Task(
            id=job,
            state=head.state,
            actor=head.actor,
            queue=head.queue,
            result=self._broker.opened(job, self._whole(head.result)),
            error=self._error(head) if head.state == "failed" else "",
        )

    def _error(self, head: Head) -> str:
        if head.error is None:
            return head.reason
        said = self._broker.opened(head.job, head.error.message, place="error/message")
        return f"{head.error.type}: {said}"

    def _whole(self, result: Any) -> Any:
        reference = reference_in(result)
        if reference is None:
            return result
        return msgspec.msgpack.decode(self._broker.payloads.fetch(reference))

    def cancel(self, task: Task | str, *, reason: str = "") -> Cancellation:
        job = task if isinstance(task, str) else task.id
        if self.status(job).state == "unknown":
            return "missing"
        prefix = self._broker.prefix_of(job)
        op = f"cancel-{secrets.token_hex(8)}"
        call = self._broker.scripts.cancel(prefix, [job], op=op, by=self._by, reason=reason)
        with answering():
            (answer,) = answers(send(self._broker.client, [call])[0])
        return _CANCELLATIONS[answer]

    def close(self) -> None:
        self._broker.close()
