"""Owns a results backend for Dramatiq's Results middleware that costs no round trip to store.

The outcome of every job is in its head already; this backend only reads it.
"""

from __future__ import annotations

import time
from typing import Any, Protocol, cast

import msgspec
import redis
from dramatiq import Message
from dramatiq.results import ResultBackend, ResultFailure, ResultMissing, ResultTimeout

from triton import keys
from triton.broker.intake import answering
from triton.events.codec import decode_data
from triton.events.heads import head_of
from triton.events.types import SCHEMA, Completed
from triton.payloads import Payloads
from triton.references import reference_in


class Heads(Protocol):
    """The broker, as far as reading a result needs it."""

    @property
    def client(self) -> redis.Redis: ...

    @property
    def payloads(self) -> Payloads: ...

    def prefix_of(self, job: str) -> str: ...

    def opened(self, job: str, value: Any, *, place: str = ...) -> Any: ...


class TritonResultBackend(ResultBackend):
    """`Results(backend=TritonResultBackend(broker))`: `message.get_result()` reads the job's head."""

    def __init__(self, broker: Heads) -> None:
        super().__init__()
        self._broker = broker

    def get_result(
        self, message: Message[Any], *, block: bool = False, timeout: int | None = None
    ) -> Any:
        """The job's result. Raises ResultMissing, ResultTimeout, ResultFailure as Dramatiq's own do.

        ResultMissing also for a result that was not kept, because it is too large or no plain data.
        One that is in the archive is fetched: UnavailableError where it does not answer, NotFoundError and
        DecodeError where the object is gone or was changed.
        """
        deadline = time.monotonic() + (10_000 if timeout is None else timeout) / 1000
        pause = 0.005
        while True:
            prefix = self._broker.prefix_of(message.message_id)
            with answering():
                found = self._broker.client.hgetall(keys.job(prefix, message.message_id))
            if found:
                fields = cast("dict[bytes, bytes]", found)
                head = head_of(message.message_id, 0, fields)
                if head.state == "completed":
                    _check_kept(fields)
                    result, reference = head.result, reference_in(head.result)
                    if reference is not None:
                        packed = self._broker.payloads.fetch(reference)
                        result = msgspec.msgpack.decode(packed)
                    return self._broker.opened(message.message_id, result)
                if head.state in ("failed", "cancelled"):
                    kind = head.error.type if head.error else "Cancelled"
                    text = head.error.message if head.error else head.reason
                    text = self._broker.opened(message.message_id, text, place="error/message")
                    raise ResultFailure(f"actor raised {kind}: {text}", kind, text)
            if not block:
                raise ResultMissing(message)
            if time.monotonic() + pause > deadline:
                raise ResultTimeout(message)
            time.sleep(pause)
            pause = min(0.2, pause * 1.5)

    def store_result(self, message: Message[Any], result: Any, ttl: int) -> None:
        """Nothing to do: the outcome is written with the ack."""

    def store_exception(self, message: Message[Any], exception: Exception, ttl: int) -> None:
        """Nothing to do: the outcome is written with the nack."""


def _check_kept(fields: dict[bytes, bytes]) -> None:
    outcome = decode_data("job.completed", SCHEMA, fields.get(b"outcome", b"\x80"))
    if omitted := cast("Completed", outcome).omitted:
        raise ResultMissing(omitted)
