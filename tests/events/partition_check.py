"""Owns the comparison of a partition in Redis with its model: every key, its value, its time to live."""

from __future__ import annotations

from typing import Any

import msgspec
import redis
from partition_model import STEP, Model

from triton import keys
from triton.events.cluster import Cluster
from triton.events.codec import decode_data, decode_entry
from triton.events.heads import born_of, head_of
from triton.events.scripts import NOTE_MS
from triton.events.types import SCHEMA


class Checker:
    """Compares one partition; reads each entry of the log once."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._seen = 0
        self._layout = 0

    def check(self, model: Model) -> None:
        """Raises AssertionError where the partition is not what the model says."""
        self._layout = model.layout
        self._log(model)
        expected = self._expected(model)
        # A cluster's client sends no KEYS with other commands.
        apart = isinstance(self._client, Cluster)
        with self._client.pipeline(transaction=False) as pipe:
            if not apart:
                pipe.keys(f"{self._prefix}*")
            for name in expected:
                self._read(pipe, name)
                pipe.pttl(self._prefix + name)
            replies = pipe.execute()
        found_keys = self._client.scan_iter(f"{self._prefix}*") if apart else replies.pop(0)
        names = {key.decode().removeprefix(self._prefix) for key in found_keys}
        diff = names ^ ({*expected, "log", "test_clock"} - ({"log"} if not model.log else set()))
        assert not diff, (diff, model.now, model.ttl, model.unique)
        for (name, (value, ttl)), found, left in zip(
            expected.items(), replies[::2], replies[1::2], strict=True
        ):
            assert (name, self._plain(name, found)) == (name, value)
            assert (name, left) == (name, -1) if ttl is None else ttl - 60_000 < left <= ttl, left

    def check_whole_log(self, model: Model) -> None:
        """The same for entries that were compared before: nothing changes them."""
        self._seen = 0
        self._log(model)

    def _log(self, model: Model) -> None:
        raw: Any = self._client.execute_command(
            "XRANGE", keys.log(self._prefix), f"{self._seen + 1}-0", "+"
        )
        assert [decode_entry(0, entry_id, fields) for entry_id, fields in raw] == (
            model.log[max(self._seen, model.trimmed) :]
        )
        self._seen = len(model.log)

    def _expected(self, model: Model) -> dict[str, tuple[Any, int | None]]:
        """Name below the prefix -> value, time to live in ms or None."""
        expected: dict[str, tuple[Any, int | None]] = {}
        for job, head in model.heads.items():
            inner = (
                model.order[job],
                model.seq.get(job, 0),
                model.closed.get(job, 0),
                model.op.get(job, ""),
                model.payload.get(job, ("", 0)),
            )
            if model.layout == 1:
                inner += (0, 1)
            else:
                # What a completed job had is of no interest any more.
                done = head.state == "completed"
                inner += (model.born[job], None if done else int(job in model.own_body))
            expected[f"job:{job}"] = ((head, inner), model.ttl.get(job))
        for job in model.own_body:
            expected[f"body:{job}"] = (model.bodies[job], model.ttl.get(job))
        for job, steps in model.steps.items():
            expected[f"steps:{job}"] = (steps, None)
        for queue in model.queues:
            for name, scores in (
                ("ready", [(job, model.order[job]) for job in model.ready(queue)]),
                ("due", [(job, model.heads[job].due) for job in model.due(queue)]),
                ("leases", [(job, model.leases[job]) for job in model.leased(queue)]),
            ):
                if scores:
                    expected[f"{name}:{queue}"] = (scores, None)
        for queue in model.bells:
            expected[f"bell:{queue}"] = ([b"1"], None)
        for worker, (op, jobs) in model.claims.items():
            expected[f"claim:{worker}"] = ([op, *jobs], 4 * 60_000)
        return expected | self._expected_of_all(model)

    def _expected_of_all(self, model: Model) -> dict[str, tuple[Any, int | None]]:
        """The same for what is of no single job or queue."""
        expected: dict[str, tuple[Any, int | None]] = {}
        if model.queues:
            expected["queues"] = (model.queues, None)
        if model.held:
            expected["held"] = ({q: list(hold) for q, hold in model.held.items()}, None)
        if model.expires:
            by_time = sorted(model.expires, key=lambda job: (model.expires[job], job.encode()))
            expected["expires"] = ([(job, model.expires[job]) for job in by_time], None)
        for digest, (job, window) in model.unique.items():
            expected[f"unique:{digest}"] = (job.encode(), window or None)
        for op, position in model.notes.items():
            expected[f"note:{op}"] = (b"%d" % position, NOTE_MS)
        layout = b"%d" % model.layout
        meta = {b"epoch": b"e", b"partitions": b"1", b"layout": layout, b"pos": len(model.log)}
        meta |= {b"at": model.at} if model.log else {}
        meta |= {b"held": 1} if model.held else {}
        meta |= {b"ttl": 1} if model.expiring else {}
        meta |= {b"trimmed": model.trimmed} if model.trimmed else {}
        expected["meta"] = (meta, None)
        return expected

    def _read(self, pipe: Any, name: str) -> None:
        kind, key = name.partition(":")[0], self._prefix + name
        if kind in ("job", "steps", "meta", "held"):
            pipe.hgetall(key)
        elif kind in ("ready", "due", "leases", "expires"):
            pipe.zrange(key, 0, -1, withscores=True)
        elif kind == "bell":
            pipe.lrange(key, 0, -1)
        elif kind == "queues":
            pipe.smembers(key)
        else:
            pipe.get(key)

    def _plain(self, name: str, found: Any) -> Any:
        """What was read, in the shape of `_expected`."""
        kind, _, rest = name.partition(":")
        if kind == "job":
            # Workers of the version before see no head that they cannot read.
            assert (b"born" in found) == (b"queue" not in found) == (self._layout != 1)
            head, born = head_of(rest, 0, found), born_of(found)
            order = found.get(b"order", STEP * head.priority + born.position)
            numbers = [int(order), *(int(found.get(field, 0)) for field in (b"seq", b"closed"))]
            terms = msgspec.msgpack.decode(found[b"terms"]) if b"terms" in found else (0, "", 0, "")
            key = terms[3], terms[2]
            own = None if head.state == "completed" and born.position else born.own_body
            op = found.get(b"op", b"").decode()
            return head, (*numbers, op, key, born.position, own)
        if kind == "steps":
            return {
                step.decode(): decode_data("job.step_completed", SCHEMA, data)
                for step, data in found.items()
            }
        if kind == "held":
            return {q.decode(): msgspec.msgpack.decode(hold) for q, hold in found.items()}
        if kind in ("ready", "due", "leases", "expires"):
            return [(job.decode(), score) for job, score in found]
        if kind == "claim":
            return msgspec.msgpack.decode(found)
        if kind == "queues":
            return {queue.decode() for queue in found}
        if kind == "meta":
            numbers = (b"pos", b"at", b"held", b"ttl", b"trimmed")
            return {k: int(v) if k in numbers else v for k, v in found.items() if k != b"created"}
        return found
