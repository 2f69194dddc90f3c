"""Owns the middleware that a TritonBroker has by itself: Dramatiq's list, Triton's limits and results."""

from __future__ import annotations

from dramatiq import Middleware
from dramatiq.middleware import TimeLimit, default_middleware
from dramatiq.results import Results
from dramatiq.threading import is_gevent_active

from triton.broker.limits import TimeLimits
from triton.broker.results import Heads, TritonResultBackend
from triton.settings import Settings

#: What gives way to one of its kind that the application adds.
_YIELDING = (Results, TimeLimit)


def own_middleware(settings: Settings) -> list[Middleware]:
    """Dramatiq's default list, with Triton's time limits in place of its TimeLimit."""
    limits = TimeLimits(
        time_limit=settings.time_limit_ms,
        soft_time_limit=settings.soft_time_limit_ms,
        grace=settings.time_limit_grace_ms,
    )
    return [
        limits if kind is TimeLimit and not is_gevent_active() else kind()
        for kind in default_middleware
    ]


def own_results(broker: Heads) -> Middleware:
    """Results that are read from the log's heads. Every one is kept, so nobody is warned that one was
    discarded."""
    return Results(backend=TritonResultBackend(broker), store_results=True)


def give_way(present: list[Middleware], own: list[Middleware], added: Middleware) -> None:
    """Take out of the list what of Triton's own has its place taken."""
    for kind in _YIELDING:
        for each in own:
            if isinstance(added, kind) and isinstance(each, kind) and each in present:
                present.remove(each)
