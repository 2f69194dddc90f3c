"""Owns the task queue on any other Dramatiq broker, which keeps no record of its messages.

A results backend, where the broker has one, tells of what ended; nothing tells of what waits or runs.
"""

from __future__ import annotations

from typing import Any

from dramatiq import Message
from dramatiq.broker import Broker
from dramatiq.results import ResultBackend, ResultFailure, ResultMissing, Results

from triton.broker.intake import answering
from triton.task_queue.protocol import Cancellation, Task


class DramatiqTaskQueue:
    """For RedisBroker, RabbitmqBroker, StubBroker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @property
    def broker(self) -> Broker:
        return self._broker

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Task:
        with answering():
            sent = self._broker.enqueue(message, delay=delay)
        return Task(
            id=sent.message_id,
            state="scheduled" if delay else "pending",
            actor=message.actor_name,
            queue=message.queue_name,
        )

    def status(self, task: Task | str) -> Task:
        """`completed` or `failed` by a stored result, else `unknown`; always `unknown` for a bare id,
        since results are stored under the actor and the queue too.
        """
        if isinstance(task, str):
            return Task(id=task, state="unknown")
        asked = Task(id=task.id, state="unknown", actor=task.actor, queue=task.queue)
        backend = self._results()
        if backend is None:
            return asked
        message = Message[Any](
            queue_name=task.queue,
            actor_name=task.actor,
            args=(),
            kwargs={},
            options={},
            message_id=task.id,
        )
        try:
            with answering():
                result = backend.get_result(message)
        except ResultMissing:
            return asked
        except ResultFailure as failure:
            error = f"{failure.orig_exc_type}: {failure.orig_exc_msg}"
            return Task(id=task.id, state="failed", actor=task.actor, queue=task.queue, error=error)
        return Task(
            id=task.id, state="completed", actor=task.actor, queue=task.queue, result=result
        )

    def cancel(self, task: Task | str, *, reason: str = "") -> Cancellation:  # noqa: ARG002
        """Always `unsupported`: a message that was sent cannot be taken back."""
        return "unsupported"

    def close(self) -> None:
        self._broker.close()

    def _results(self) -> ResultBackend | None:
        for middleware in self._broker.middleware:
            if isinstance(middleware, Results):
                backend: ResultBackend | None = middleware.backend
                return backend
        return None
