"""Owns what jobs of a queue failed with in this process: the first exception of each, for tests that join."""

from __future__ import annotations

from triton.broker.proxy import JobProxy


class Failures:
    """Of one broker."""

    def __init__(self) -> None:
        self._first: dict[str, BaseException] = {}

    def note(self, proxy: JobProxy) -> None:
        error = proxy.failure or RuntimeError("the message was marked as failed")
        self._first.setdefault(proxy.queue_name, error)

    def take(self, queue: str) -> BaseException | None:
        """The queue's, which is forgotten by that; None where none failed."""
        return self._first.pop(queue, None)
