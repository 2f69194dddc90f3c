"""Owns a broker's own calls to the log: opened once per process, with errors that Dramatiq knows."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import redis
from dramatiq.errors import ConnectionClosed
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from triton import keys
from triton.bulk import waves
from triton.errors import UnavailableError, no_answer
from triton.events.client import send
from triton.events.cluster import slots_of
from triton.events.log import checked_epochs
from triton.events.replies import answers
from triton.events.scripts import Call, Hold, Scripts
from triton.events.submission import Submission
from triton.observe.logger import get_logger

#: Jobs read from a queue at once when it is flushed.
_FLUSH_PAGE: Final = 200
#: What `count` counts.
_COUNTS: Final = (keys.ready, keys.due, keys.leases)
_log: Final = get_logger("triton.broker")


@contextmanager
def answering() -> Iterator[None]:
    """Turn Redis's errors into ConnectionClosed and UnavailableError."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise ConnectionClosed(no_answer("Redis", error)) from None
    except RedisError as error:
        raise UnavailableError(f"Redis refused a call: {error}") from error


class Intake:
    """What everybody may do with a log: submit jobs, count and cancel those that wait.

    Every method raises ConnectionClosed when Redis does not answer, UnavailableError when it refuses, and
    ConfigurationError when the log was created with another number of partitions.
    """

    def __init__(
        self, client: redis.Redis, scripts: Scripts, namespace: str, partitions: int
    ) -> None:
        self.prefixes = [keys.prefix(namespace, partition) for partition in range(partitions)]
        self._client = client
        self._scripts = scripts
        self._namespace = namespace
        self._opened_by: int | None = None

    def prefix_of(self, job: str) -> str:
        """The key prefix of the partition that a job belongs to."""
        return self.prefixes[keys.partition_of(job, len(self.prefixes))]

    def open(self) -> None:
        """Create the log, or make sure that it fits. Once per process."""
        if self._opened_by == os.getpid():
            return
        epoch, partitions = secrets.token_hex(8), len(self.prefixes)
        calls = [self._scripts.open(prefix, epoch, partitions) for prefix in self.prefixes]
        # Checked before the others are created: a wrong setting must leave nothing behind.
        for part in (calls[:1], calls[1:]):
            with answering():
                replies = send(self._client, part) if part else []
            checked_epochs(self._namespace, partitions, replies)
        self._opened_by = os.getpid()

    def submit(self, submissions: Sequence[Submission]) -> list[str]:
        """Answers the log's word for each (see `triton.verdict`)."""
        self.open()
        if len(submissions) == 1:
            call = self._scripts.submit(self.prefix_of(submissions[0].job), submissions)
            return answers(self._send([call])[0])
        chunks = [chunk for wave in waves(submissions, len(self.prefixes)) for chunk in wave]
        calls = [
            self._scripts.submit(self.prefixes[partition], [submissions[i] for i in chunk])
            for partition, chunk in chunks
        ]
        done = [""] * len(submissions)
        for (_, chunk), reply in zip(chunks, self._send(calls), strict=True):
            for index, answer in zip(chunk, answers(reply), strict=True):
                done[index] = answer
        return done

    def _send(self, calls: Sequence[Call]) -> list[Any]:
        try:
            return send(self._client, calls)
        except RedisError as error:
            with answering():
                return self._send_again(calls, error)

    def _send_again(self, calls: Sequence[Call], error: RedisError) -> list[Any]:
        if not (isinstance(error, ResponseError) and str(error).startswith("TRITON_NO_LOG")):
            raise error
        # The server was emptied: begin a new log, as the next process would. Readers notice.
        _log.critical("log_created_anew", error=str(error))
        self._opened_by = None
        self.open()
        return send(self._client, calls)

    def announce(self, queue: str, actors: Mapping[str, bytes], terms: Mapping[str, bytes]) -> None:
        """Say beside the log which queue these actors' jobs go to, what they can be called with (see
        `triton.signature.encode`), and their `triton.terms.encode_declared`, for who submits by name only."""
        if actors:
            first = self.prefixes[0]
            fields: dict[Any, Any] = dict(actors)
            said: dict[Any, Any] = dict(terms)
            with answering(), self._client.pipeline(transaction=True) as pipe:
                pipe.hset(keys.actors(first), mapping=dict.fromkeys(actors, queue))
                pipe.hset(keys.signatures(first), mapping=fields)
                pipe.hset(keys.terms(first), mapping=said)
                pipe.execute()

    def count(self, queue: str) -> dict[str, int]:
        """How many jobs of a queue wait (`ready`), are scheduled (`due`) and run (`leases`)."""
        with answering():
            groups = slots_of(self._client, self.prefixes)
            counts, before = self._counted(groups, queue), None
            # What moves from one slot to another between two looks would be seen in neither, so nothing is
            # believed to be empty before all slots were seen twice without an event in between.
            while len(groups) > 1 and counts != before and not any(counts[0]):
                before, counts = counts, self._counted(groups, queue)
        return {kind.__name__: sum(counts[0][i :: len(_COUNTS)]) for i, kind in enumerate(_COUNTS)}

    def _counted(self, groups: Sequence[list[str]], queue: str) -> tuple[list[int], list[bytes]]:
        """The counts of each partition, and its position. In one step for each group: a job that moves on
        between two counts would be seen in neither."""
        counts: list[int] = []
        positions: list[bytes] = []
        for group in groups:
            with self._client.pipeline(transaction=True) as pipe:
                for prefix in group:
                    for kind in _COUNTS:
                        pipe.zcard(kind(prefix, queue))
                if len(groups) > 1:
                    pipe.hget(keys.meta(group[0]), "pos")
                    *counted, position = pipe.execute()
                    positions.append(position)
                else:
                    counted = pipe.execute()
                counts += counted
        return counts, positions

    def hold(self, queue: str, state: Hold, by: str, reason: str) -> bool:
        """Pause, drain or open a queue in every partition; whether that changed anything."""
        self.open()
        calls = [
            self._scripts.hold(prefix, queue, state, by=by, reason=reason)
            for prefix in self.prefixes
        ]
        with answering():
            changed = b"ok" in send(self._client, calls)
        if changed:
            _log.info("queue_held", queue=queue, state=state, by=by, reason=reason)
        return changed

    def flush(self, queue: str, by: str) -> None:
        """Cancel every job of a queue that has not started; each gets its event."""
        self.open()
        for prefix in self.prefixes:
            for key in (keys.ready(prefix, queue), keys.due(prefix, queue)):
                while self._flush_page(prefix, key, by):
                    pass

    def _flush_page(self, prefix: str, key: str, by: str) -> bool:
        """Whether there may be more."""
        with answering():
            found = cast("list[bytes]", self._client.zrange(key, 0, _FLUSH_PAGE - 1))
            if not found:
                return False
            jobs = [job.decode() for job in found]
            op = f"flush-{secrets.token_hex(8)}"
            call = self._scripts.cancel(prefix, jobs, op=op, by=by, reason="flushed")
            done = answers(send(self._client, [call])[0])
            # A name without a job behind it stands for nothing.
            stray = [job for job, answer in zip(jobs, done, strict=True) if answer == "missing"]
            if stray:
                self._client.zrem(key, *stray)
        return bool(stray) or "cancelled" in done
