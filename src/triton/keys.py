"""Owns the name of every Redis key. One partition's keys share one hash tag, so one script fits one slot.

Each function names one kind of key; its docstring says the key's type and what it holds.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

#: The layout of the keys and of what they hold. Scripts and processes refuse a log with another one; a
#: change that an older process would misread or lose must raise it, here and in lua/prelude.lua.
#: New logs have the newest; 1 keeps every message in `body:ID` beside its entry in the log.
LAYOUT: Final = 2
LAYOUTS: Final = (1, 2)


def partition_of(job: str, partitions: int) -> int:
    """The partition of a job: CRC-32 of its id, modulo their number."""
    return crc32(job.encode()) % partitions if partitions > 1 else 0


def prefix(namespace: str, partition: int) -> str:
    """What every key of a partition begins with, hash tag included."""
    return f"{{{namespace}:{partition}}}:"


def log(prefix: str) -> str:
    """STREAM of the partition's events; the id of position n is `n-0`."""
    return prefix + "log"


def meta(prefix: str) -> str:
    """HASH: epoch, partitions, layout, pos (last position issued), at (time of the last event), created, and
    trimmed (the last position that left the log)."""
    return prefix + "meta"


def none(key: str) -> str:
    """Never written; in the slot of `key`. Every script call on a cluster names it too, and is so refused as
    a whole while that slot moves key by key: no node has both."""
    return key[: key.index("}") + 2] + "none"


def job(prefix: str, job_id: str) -> str:
    """HASH: the job's head."""
    return f"{prefix}job:{job_id}"


def body(prefix: str, job_id: str) -> str:
    """STRING: the encoded Dramatiq message, where the head does not say with `msg` at which position the log
    holds it: after a retry that changed it, and after its entry left the log."""
    return f"{prefix}body:{job_id}"


def steps(prefix: str, job_id: str) -> str:
    """HASH: step name -> recorded result."""
    return f"{prefix}steps:{job_id}"


def ready(prefix: str, queue: str) -> str:
    """ZSET: job id -> order; what may start now."""
    return f"{prefix}ready:{queue}"


def due(prefix: str, queue: str) -> str:
    """ZSET: job id -> microseconds since 1970 when it becomes ready."""
    return f"{prefix}due:{queue}"


def leases(prefix: str, queue: str) -> str:
    """ZSET: job id -> microseconds since 1970 when its worker counts as dead."""
    return f"{prefix}leases:{queue}"


def bell(prefix: str, queue: str) -> str:
    """LIST of at most one element: wakes one idle worker."""
    return f"{prefix}bell:{queue}"


def claim(prefix: str, worker: str) -> str:
    """STRING: the operation id and jobs of the worker's last claim, so that a resend gets the same jobs."""
    return f"{prefix}claim:{worker}"


def actors(prefix: str) -> str:
    """HASH, in partition 0 only: actor -> its queue, as the workers that started last declared it."""
    return prefix + "actors"


def group(prefix: str, group_id: str) -> str:
    """HASH: the members of a Dramatiq group that ran to their end, and under an empty name how many
    members there are."""
    return f"{prefix}group:{group_id}"


def signatures(prefix: str) -> str:
    """HASH, in partition 0 only: actor -> what it can be called with, as its workers declared it."""
    return prefix + "signatures"


def terms(prefix: str) -> str:
    """HASH, in partition 0 only: actor -> the time to live and the uniqueness that its workers declared."""
    return prefix + "terms"


def queues(prefix: str) -> str:
    """SET: the name of every queue that ever held a job."""
    return prefix + "queues"


def held(prefix: str) -> str:
    """HASH: queue -> msgpack [`paused` or `draining`, by, reason, microseconds since 1970]."""
    return prefix + "held"


def checks(prefix: str) -> str:
    """HASH, in partition 0 only: what was verified -> msgpack [well, microseconds since 1970]."""
    return prefix + "checks"


def troubles(prefix: str) -> str:
    """HASH, in partition 0 only: `role:kind` -> how often a process of this role met with such trouble."""
    return prefix + "troubles"


def note(prefix: str, op: str) -> str:
    """STRING: the position of the administrative event that an operation id named."""
    return f"{prefix}note:{op}"


def expires(prefix: str) -> str:
    """ZSET: job id -> microseconds since 1970 when it expires, of jobs that never started."""
    return prefix + "expires"


def unique(prefix: str, digest: str) -> str:
    """STRING: the id of the job that holds a unique key."""
    return f"{prefix}unique:{digest}"


def webhook(prefix: str, digest: str) -> str:
    """STRING, in partition 0 only: empty; a webhook that came in and must not come again."""
    return f"{prefix}webhook:{digest}"


def rate(prefix: str, who: str) -> str:
    """STRING: microseconds since 1970 at which the requests of a key or an address are paid for."""
    return f"{prefix}rate:{who}"


def revoked(prefix: str, tenant: str) -> str:
    """ZSET, in partition 0 only: id of a stream token that was taken back -> milliseconds since 1970 at which
    no such token can count any more."""
    return f"{prefix}revoked:{tenant}"


def quota_rate(prefix: str, tenant: str) -> str:
    """STRING, in partition 0 only: microseconds since 1970 at which the jobs that a tenant submitted are paid
    for under its limit of jobs a second."""
    return f"{prefix}quota-rate:{tenant}"


def quota_open(prefix: str, tenant: str) -> str:
    """ZSET, in partition 0 only: job id -> microseconds since 1970 when it was let in under a limit of open
    jobs; those that ended go when the set is full."""
    return f"{prefix}quota-open:{tenant}"


def workers(prefix: str) -> str:
    """ZSET, in partition 0 only: worker -> microseconds since 1970 when it counts as gone."""
    return prefix + "workers"


def worker(prefix: str, worker_id: str) -> str:
    """STRING, in partition 0 only: what a living worker says of itself."""
    return f"{prefix}worker:{worker_id}"
