"""Owns a Dramatiq consumer: hands claimed jobs to Dramatiq, and their outcomes to the dispatcher."""

from __future__ import annotations

from collections.abc import Iterable
from queue import Empty, SimpleQueue

from dramatiq.broker import Consumer, MessageProxy

from triton.broker.dispatcher import Dispatcher
from triton.broker.proxy import JobProxy


class TritonConsumer(Consumer):
    """One queue's consumer. All state of a delivery is on its proxy, so a new consumer can end it."""

    def __init__(
        self, dispatcher: Dispatcher, inbox: SimpleQueue[JobProxy], queue: str, timeout_ms: int
    ) -> None:
        self._dispatcher = dispatcher
        self._inbox = inbox
        self._queue = queue
        self._timeout = timeout_ms / 1000

    def __next__(self) -> MessageProxy | None:
        try:
            return self._inbox.get(timeout=self._timeout)
        except Empty:
            return None

    def ack(self, message: MessageProxy) -> None:
        if isinstance(message, JobProxy) and not message.ended_elsewhere:
            self._dispatcher.finish(message, failed=False)

    def nack(self, message: MessageProxy) -> None:
        if isinstance(message, JobProxy) and not message.ended_elsewhere:
            self._dispatcher.finish(message, failed=True)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        self._dispatcher.release([each for each in messages if isinstance(each, JobProxy)])

    def close(self) -> None:
        self._dispatcher.unsubscribe(self._queue, self._inbox)
