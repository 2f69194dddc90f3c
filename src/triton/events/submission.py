"""Owns a submission: what the log must be told of a job that is to be. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

_pack: Final = msgspec.msgpack.Encoder().encode


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What the submit script needs of one job."""

    job: str
    queue: str
    actor: str
    tenant: str
    by: str
    causation: str = ""
    correlation: str = ""
    traceparent: str = ""
    priority: int = 0
    #: Microseconds since 1970, or 0 for at once.
    due: int = 0
    #: Microseconds from the server's now, instead of `due`; 0 for none.
    delay: int = 0
    #: Microseconds from the server's now within which it must first start; 0 for no limit.
    ttl: int = 0
    #: The digest of its unique key, or empty; milliseconds that it is held (0: until the job ends), and
    #: what happens where it is held: `return`, `replace` or `reject`.
    unique: str = ""
    window_ms: int = 0
    conflict: str = "return"
    #: The digest of what was asked for under an idempotency key, and the milliseconds after its end for
    #: which the job answers to it, or to a repeat under its own id.
    payload: str = ""
    keep_ms: int = 0
    #: Encoded `job.submitted` data.
    data: bytes
    #: The encoded Dramatiq message.
    body: bytes

    def args(self) -> tuple[bytes, bytes, bytes]:
        """The script's three arguments."""
        header: tuple[object, ...] = (
            self.job,
            self.queue,
            self.actor,
            self.tenant,
            self.by,
            self.causation,
            self.correlation,
            self.traceparent,
            self.priority,
            self.due,
            self.delay,
        )
        if self.ttl or self.unique or self.payload or self.keep_ms:
            header += (
                (
                    self.ttl,
                    self.unique,
                    self.window_ms,
                    self.conflict,
                    self.payload,
                    self.keep_ms,
                ),
            )
        return _pack(header), self.data, self.body
