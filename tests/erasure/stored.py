"""Owns a look into everything that a broker's log and its neighbours hold in Redis."""

from __future__ import annotations

from typing import Any

import redis
from dramatiq import Worker

from triton import TritonBroker
from triton.events.codec import decode_entry
from triton.events.envelope import Event


class Platform:
    """The broker's log and everything beside it in Redis."""

    def __init__(self, broker: TritonBroker, client: redis.Redis) -> None:
        self.broker = broker
        self.client = client

    def run(self) -> None:
        """Runs everything that was sent."""
        worker = Worker(self.broker, worker_timeout=50, worker_threads=2)
        worker.start()
        try:
            for _ in range(3):
                for queue in sorted(self.broker.get_declared_queues()):
                    self.broker.join(queue, timeout=30_000)
        finally:
            worker.stop()

    def events(self, job: str | None = None) -> list[Event]:
        found: list[Event] = []
        for partition in range(self.broker.partitions):
            key = f"{{{self.broker.namespace}:{partition}}}:log"
            entries: Any = self.broker.client.xrange(key)
            found += [decode_entry(partition, entry, fields) for entry, fields in entries]
        return [event for event in found if job in (None, event.job)]

    def dump(self) -> bytes:
        """Every byte that Redis holds for the namespace, by the commands of each type."""
        parts: list[bytes] = []
        for key in self.client.scan_iter(f"*{self.broker.namespace}*", count=1000):
            parts.append(key)
            match self.client.type(key):
                case b"string":
                    parts.append(self.client.get(key) or b"")
                case b"hash":
                    parts += [part for pair in self.client.hgetall(key).items() for part in pair]
                case b"zset":
                    parts += self.client.zrange(key, 0, -1)
                case b"set":
                    parts += self.client.smembers(key)
                case b"list":
                    parts += self.client.lrange(key, 0, -1)
                case b"stream":
                    entries: Any = self.broker.client.xrange(key)
                    parts += [part for _, fields in entries for part in fields]
                case other:
                    raise AssertionError(f"{key!r} is a {other!r}")
        return b"\n".join(parts)
