"""Owns moving a queue of Dramatiq's RedisBroker into Triton while it lives.

The mover is one more consumer of the old broker: it fetches by Dramatiq's own script, so it shares the queue
with workers that still run, and acknowledges a message after it is a job. What a mover held that was killed
goes back to the queue as a dead worker's messages do, and is the same job when it is moved again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, cast

import msgspec
from dramatiq import Message
from dramatiq.brokers.redis import MAINTENANCE_SCALE, RedisBroker
from dramatiq.common import dq_name, q_name
from dramatiq.errors import DecodeError

from triton.errors import ConfigurationError
from triton.submitter import Accepted, Submitter

#: Messages fetched at once.
BATCH: Final = 200
#: What only the old broker knows of a message.
_OWN: Final = "redis_message_id"
_TEN_YEARS_MS: Final = 10 * 366 * 86_400_000


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A message that stays in the old queue, and why."""

    queue: str
    message: str
    reason: str


class Moved(msgspec.Struct, kw_only=True):
    """What became of one queue, its delayed messages included."""

    queue: str
    #: Messages that became jobs.
    moved: int = 0
    #: Messages whose job was there before: an earlier run moved them, and was killed then.
    known: int = 0
    #: Messages that workers of the old broker hold, or that one held that died a moment ago.
    held: int = 0
    #: Dead letters of the old broker; they stay there.
    dead_letters: int = 0
    left: list[Left] = []


class RedisQueues:
    """The queues of one RedisBroker. `dead_after_ms` without a heartbeat a worker of it counts as dead."""

    def __init__(
        self,
        url: str,
        submitter: Submitter,
        *,
        namespace: str = "dramatiq",
        dead_after_ms: int = 60_000,
    ) -> None:
        try:
            # With every command the script gives the messages of dead workers back to their queues.
            self._broker = RedisBroker(
                url=url,
                namespace=namespace,
                middleware=[],
                heartbeat_timeout=dead_after_ms,
                maintenance_chance=MAINTENANCE_SCALE,
                # Its dead letters are no matter of ours: the application may keep them for longer.
                dead_message_ttl=_TEN_YEARS_MS,
            )
        except ValueError as error:
            raise ConfigurationError(
                f"the URL of the old Redis cannot be used: {error}; expected redis://host:port/db"
            ) from error
        self._client: Any = self._broker.client
        self._namespace = namespace
        self._submitter = submitter
        #: Old ids of the messages that stay, by queue; held until the end, so that they are fetched once.
        self._kept: dict[str, list[str]] = {}

    def names(self) -> list[str]:
        """Every queue that has messages, dead letters not counted."""
        found = set()
        pattern = re.compile(re.escape(self._namespace) + r":(.+)\.msgs\Z", re.DOTALL)
        for key in self._client.scan_iter(f"{_escaped(self._namespace)}:*.msgs", count=1000):
            match = pattern.match(key.decode())
            if match is not None and not match[1].endswith(".XQ"):
                found.add(q_name(match[1]))
        return sorted(found)

    def move(
        self, queue: str, *, into: Moved | None = None, stop: threading.Event | None = None
    ) -> Moved:
        """Move what is in a queue now, its delayed messages first, or until `stop` is set. What senders add
        meanwhile may stay for the next time: it ends however fast they are. `into` is what earlier calls
        counted; it is right also where this one raises.

        Raises UnavailableError where Triton's Redis does not answer, and what the Redis client raises where
        the old one does not. Whatever was fetched then is in the old queue again, at the latest when this
        process counts as dead.
        """
        done = into or Moved(queue=queue)
        for name in (dq_name(queue), queue):
            there = int(self._client.hlen(f"{self._namespace}:{name}.msgs"))
            while not (stop and stop.is_set()) and (data := self._fetch(name)):
                self._move_batch(name, data, done)
                there -= len(data)
                if there <= 0:
                    break
        done.held = sum(self._held(name) for name in (dq_name(queue), queue))
        done.dead_letters = int(self._client.zcard(f"{self._namespace}:{queue}.XQ"))
        return done

    def close(self) -> None:
        """Give back what could not become a job."""
        for name, kept in self._kept.items():
            self._requeue(name, kept)
        self._kept.clear()
        self._broker.close()
        self._client.close()

    def _fetch(self, name: str) -> list[bytes | None]:
        return cast("list[bytes | None]", self._call("fetch", name, BATCH))

    def _move_batch(self, name: str, data: Sequence[bytes | None], done: Moved) -> None:
        taken: list[tuple[str, Message[Any]]] = []
        for raw in data:
            if raw is None:
                self._forget_empty(name)
                continue
            try:
                message = Message.decode(raw)
                old = str(message.options[_OWN])
            except (DecodeError, KeyError, TypeError, ValueError) as error:
                done.left.append(
                    Left(queue=name, message="", reason=f"it cannot be decoded: {error!r}")
                )
                self._kept.setdefault(name, []).extend(self._id_of(name, raw))
                continue
            taken.append((old, _fresh(message)))
        try:
            outcomes = self._submitter.submit([message for _, message in taken])
        except BaseException:
            self._requeue(name, [old for old, _ in taken])
            raise
        for (old, message), outcome in zip(taken, outcomes, strict=True):
            if isinstance(outcome, Accepted):
                self._call("ack", name, old)
                done.known += outcome.existing
                done.moved += not outcome.existing
            else:
                self._kept.setdefault(name, []).append(old)
                done.left.append(
                    Left(queue=name, message=message.message_id, reason=outcome.reason)
                )

    def _held(self, name: str) -> int:
        """Messages that are there, but neither wait nor are ours: in other consumers' hands."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hlen(f"{self._namespace}:{name}.msgs")
            pipe.llen(f"{self._namespace}:{name}")
            there, wait = pipe.execute()
        return max(0, int(there) - int(wait) - len(self._kept.get(name, ())))

    def _acks(self, worker: str, name: str) -> str:
        return f"{self._namespace}:__acks__.{worker}.{name}"

    def _unfinished(self, name: str) -> Iterator[tuple[str, bytes | None]]:
        """What this consumer holds, with its data."""
        for old in self._client.smembers(self._acks(self._broker.broker_id, name)):
            yield old.decode(), self._client.hget(f"{self._namespace}:{name}.msgs", old)

    def _forget_empty(self, name: str) -> None:
        """An id without a message is nobody's message."""
        for old, data in list(self._unfinished(name)):
            if data is None:
                self._client.srem(self._acks(self._broker.broker_id, name), old)

    def _id_of(self, name: str, raw: bytes) -> Iterable[str]:
        return [
            old
            for old, data in self._unfinished(name)
            if data == raw and old not in self._kept.get(name, ())
        ][:1]

    def _requeue(self, name: str, old: Sequence[str]) -> None:
        for start in range(0, len(old), BATCH):
            self._call("requeue", name, *old[start : start + BATCH])

    def _call(self, command: str, name: str, *args: Any) -> Any:
        return getattr(self._broker, f"do_{command}")(name, *args)


def _fresh(message: Message[Any]) -> Message[Any]:
    """The message as it was sent: without the old id, and in the queue that it was delayed for."""
    options = {name: value for name, value in message.options.items() if name != _OWN}
    return message._replace(queue_name=q_name(message.queue_name), options=options)


def _escaped(text: str) -> str:
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)
