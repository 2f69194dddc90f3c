"""Owns that every attempt of a worker process ends: an outcome that the log takes, whatever came of it."""

from __future__ import annotations

from typing import Any

from triton.broker.outcomes import Keep, failure, outcome_of, pack, rejected
from triton.broker.pace import Pace
from triton.broker.proxy import JobProxy
from triton.events.scripts import Packed
from triton.events.types import TERMINAL


class Endings:
    """`by` is the worker; `keep` archives large results; `log` is the worker's own. For any thread."""

    def __init__(self, by: str, keep: Keep, log: Any) -> None:
        self._by = by
        self._keep = keep
        self._log = log
        #: How many jobs of each queue ended of late.
        self.pace = Pace()

    def packed(self, proxy: JobProxy, *, failed: bool) -> Packed:
        """The outcome at ack or (`failed`) nack."""
        try:
            outcome = outcome_of(proxy, failed=failed, keep=self._keep)
            if failed and not proxy.after_actor:
                self._say_refused(proxy)
            if outcome.kind in TERMINAL:
                self.pace.add(proxy.queue_name)
            return pack(proxy, self._by, outcome)
        except Exception as error:
            # Say a retry whose options hold what cannot be encoded. It must end, or it is held for ever.
            self._log.exception("outcome_unusable", job=proxy.claimed.job)
            proxy.outbox.clear()
            proxy.apart.clear()
            return pack(proxy, self._by, failure(error))

    def unreadable(self, proxy: JobProxy, error: Exception) -> Packed:
        """The outcome of a job whose message nobody can read."""
        self._log.error("message_rejected", job=proxy.claimed.job, error=str(error))
        return pack(proxy, self._by, rejected(error))

    def _say_refused(self, proxy: JobProxy) -> None:
        """No actor ran, so nobody has said anything yet."""
        claimed, error = proxy.claimed, proxy.failure
        self._log.error(
            "job_failed",
            job=claimed.job,
            attempt=claimed.attempt,
            actor=proxy.actor_name,
            queue=claimed.queue,
            tenant=claimed.tenant,
            error=type(error).__name__ if error is not None else "Rejected",
        )
