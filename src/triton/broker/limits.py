"""Owns time limits: a soft one that an actor can catch, a hard one, and the end where neither arrives."""

from __future__ import annotations

import math
import threading
import time
from typing import Any, Final
from weakref import WeakSet

from dramatiq import Worker
from dramatiq.broker import Broker
from dramatiq.middleware import TimeLimit, TimeLimitExceeded

from triton.broker.context import current_proxy
from triton.broker.hooks import run_hooks
from triton.broker.interrupts import SoftTimeLimit
from triton.broker.proxy import JobProxy
from triton.observe.logger import get_logger

#: Milliseconds, as the settings have them.
HARD: Final = 120_000
SOFT: Final = 100_000
#: Milliseconds that an actor has to end after its hard limit, before its attempt is given up.
GRACE: Final = 5_000
_log: Final = get_logger("triton.worker")


class TimeLimits(TimeLimit):
    """Dramatiq's TimeLimit with a soft limit before the hard one, and an end after it.

    At the soft limit `SoftTimeLimit` is raised in the actor, at the hard one `TimeLimitExceeded`. Both
    arrive between two steps of Python code: an actor that waits in C code gets neither. Its attempt is
    given up `grace` after the hard limit: it ends as one that raised TimeLimitExceeded, a new thread
    takes its thread's place, and what its code says later is not heard.

    All times are in milliseconds. An actor, or a submit, that gives a `time_limit` of its own has a soft
    limit only if it gives a `soft_time_limit` too. `interval` is how often the clock is looked at.
    """

    def __init__(
        self,
        *,
        time_limit: float = HARD,
        soft_time_limit: float = SOFT,
        grace: float = GRACE,
        interval: int = 1000,
    ) -> None:
        super().__init__(time_limit=time_limit, interval=interval)
        self.soft_time_limit = soft_time_limit
        self.grace = grace
        self._watch = _Watch(interval / 1000)

    @property
    def actor_options(self) -> set[str]:
        return {"time_limit", "soft_time_limit"}

    def after_process_boot(self, broker: Broker) -> None:  # noqa: ARG002
        self._watch.start()

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        self._watch.workers.add(worker)

    def before_process_message(self, broker: Broker, message: Any) -> None:
        if isinstance(message, JobProxy):
            actor = broker.actors.get(message.actor_name)
            hard, soft = self.limits_of(message.options, actor.options if actor else {})
            now = time.monotonic()
            give_up = now + (hard + self.grace) / 1000
            self._watch.add(
                _Watched(broker, message, now + soft / 1000, now + hard / 1000, give_up)
            )
            if give_up < math.inf:
                message.say_deadline(give_up)

    def after_process_message(self, broker: Broker, message: Any, **_: Any) -> None:  # noqa: ARG002
        if isinstance(message, JobProxy):
            self._watch.remove(message)

    after_skip_message = after_process_message

    def limits_of(self, options: dict[str, Any], actor: dict[str, Any]) -> tuple[float, float]:
        """The hard and the soft limit of a job, in milliseconds; infinite for none."""
        own = options.get("time_limit") or actor.get("time_limit")
        hard = own or self.time_limit
        soft = options.get("soft_time_limit") or actor.get("soft_time_limit")
        if soft is None:
            soft = math.inf if own else self.soft_time_limit
        return hard, soft if soft < hard else math.inf


class _Watched:
    """A job that runs, and the monotonic times at which something is done about it."""

    __slots__ = ("broker", "give_up", "hard", "proxy", "soft")

    def __init__(
        self, broker: Broker, proxy: JobProxy, soft: float, hard: float, give_up: float
    ) -> None:
        self.broker = broker
        self.proxy = proxy
        self.soft = soft
        self.hard = hard
        self.give_up = give_up


class _Watch(threading.Thread):
    """Looks at the clock for everything that runs in this process."""

    def __init__(self, interval: float) -> None:
        super().__init__(daemon=True, name="triton-limits")
        self.workers: WeakSet[Worker] = WeakSet()
        self._interval = interval
        self._running: dict[tuple[str, int], _Watched] = {}

    def add(self, watched: _Watched) -> None:
        self._running[watched.proxy.lease] = watched

    def remove(self, proxy: JobProxy) -> None:
        self._running.pop(proxy.lease, None)

    def run(self) -> None:
        while True:
            time.sleep(self._interval)
            now = time.monotonic()
            for watched in list(self._running.values()):
                if now >= min(watched.soft, watched.hard, watched.give_up):
                    try:
                        self._act(watched, now)
                    except Exception:
                        _log.exception("time_limit_failed", job=watched.proxy.claimed.job)

    def _act(self, watched: _Watched, now: float) -> None:
        proxy = watched.proxy
        if now >= watched.give_up:
            watched.give_up = math.inf
            self._give_up(watched)
        elif now >= watched.hard:
            if proxy.interrupt(TimeLimitExceeded):
                watched.hard = watched.soft = math.inf
                claimed = proxy.claimed
                _log.warning(
                    "time_limit",
                    job=claimed.job,
                    attempt=claimed.attempt,
                    actor=proxy.actor_name,
                    queue=claimed.queue,
                    tenant=claimed.tenant,
                )
        elif proxy.interrupt(SoftTimeLimit):
            watched.soft = math.inf

    def _give_up(self, watched: _Watched) -> None:
        proxy = watched.proxy
        error = TimeLimitExceeded(
            "the actor went on after its time limit, where no interrupt arrives"
        )
        ident = proxy.give_up(error)
        if ident is None:
            return
        # What the hooks send, and what is said, belongs to the job, as in its own thread.
        current_proxy.set(proxy)
        _log.error("attempt_given_up", job=proxy.claimed.job, actor=proxy.actor_name)
        self.remove(proxy)
        run_hooks(watched.broker, proxy, watched.broker.middleware)
        for worker in list(self.workers):
            stuck = next((each for each in worker.workers if each.ident == ident), None)
            if stuck is not None:
                going_on = stuck.running
                # It ends as soon as it comes back, and nobody waits for it.
                stuck.stop()
                worker.workers.remove(stuck)
                if going_on:
                    worker._add_worker()
                worker.consumers[proxy.queue_name].post_process_message(proxy)
