"""Owns what a worker notes at the two ends of an attempt: what was slow, and its span where it is traced."""

from __future__ import annotations

import time
from typing import Any

from dramatiq import Actor

from triton.broker.proxy import JobProxy
from triton.errors import ValidationError
from triton.observe import tracing
from triton.observe.slow import Jobs, Limits, limits_of
from triton.settings import Settings


class Timing:
    """Of one broker. The settings' limits hold for actors that do not say any."""

    def __init__(self, settings: Settings) -> None:
        self._run_ms, self._wait_ms = settings.slow_run_ms, settings.slow_wait_ms
        self._limits = limits_of({}, self._run_ms, self._wait_ms)
        self._of_actors: dict[str, Limits] = {}
        self._slow = Jobs()

    def limits_of(self, actor: Actor[Any, Any]) -> Limits:
        """Raises ValidationError for what is no number of milliseconds."""
        try:
            return limits_of(actor.options, self._run_ms, self._wait_ms)
        except ValueError as error:
            raise ValidationError(f"the actor {actor.actor_name}: {error}") from error

    def limit(self, actor: str, limits: Limits) -> None:
        """An actor has these limits."""
        self._of_actors[actor] = limits

    def begin(self, proxy: JobProxy) -> None:
        limits = self._of_actors.get(proxy.actor_name, self._limits)
        waited = proxy.claimed.waited
        proxy.begun = time.monotonic()
        if waited >= limits.wait:
            self._slow.waited(proxy.actor_name, proxy.queue_name, waited, limits.wait)
        spans = tracing.active()
        if spans is not None:
            proxy.traced = spans.begin(proxy)

    def ran(self, proxy: JobProxy) -> None:
        """The actor is done; its span ends after the hooks (see `triton.broker.hooks`)."""
        limit = self._of_actors.get(proxy.actor_name, self._limits).run
        took = time.monotonic() - proxy.begun
        if took >= limit and proxy.begun:
            self._slow.ran(took, limit)
