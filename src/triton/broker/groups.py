"""Owns when a group is complete: each member counts once, however often it ran.

Dramatiq's GroupCallbacks counts down a barrier in its hook. A member whose process dies between that hook
and its outcome runs again and counts twice, so that the callbacks come while others still run.
"""

from __future__ import annotations

from typing import Any, cast

from dramatiq import Message
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits import RateLimiterBackend

from triton import keys
from triton.broker.intake import answering
from triton.broker.proxy import JobProxy

#: The field of a group's hash that holds how many members there are. No job has this id.
_TOTAL = ""


def is_stock(middleware: object) -> bool:
    """Whether this is Dramatiq's own way to complete groups, and nobody's variation of it."""
    own = type(middleware).after_process_message if isinstance(middleware, GroupCallbacks) else None
    return own is GroupCallbacks.after_process_message


def after_success(middleware: GroupCallbacks, broker: Any, proxy: JobProxy) -> None:
    """Send the group's callbacks if this is its last member. They keep their ids, so each is one job.

    Raises ConnectionClosed, UnavailableError.
    """
    group = proxy.options.get("group_completion_uuid")
    callbacks = proxy.options.get("group_completion_callbacks")
    if not group or not callbacks:
        return
    key = keys.group(broker.prefix_of(group), group)
    with answering(), broker.client.pipeline(transaction=True) as pipe:
        pipe.hset(key, proxy.message_id, 1)
        pipe.hget(key, _TOTAL)
        pipe.hlen(key)
        pipe.pexpire(key, middleware.barrier_ttl)
        _, total, fields, _ = pipe.execute()
        if total is None:
            # The barrier is never counted down, so it holds what `group.run` said.
            total = _value(middleware.rate_limiter_backend, group, middleware.barrier_ttl)
            broker.client.hset(key, _TOTAL, total)
            fields = cast("int", broker.client.hlen(key))
    if fields > int(total):
        for callback in callbacks:
            broker.enqueue(Message(**callback))


def _value(backend: RateLimiterBackend, key: str, ttl: int) -> int:
    """The value of a counter, by the only question that every backend answers: is it at least so much."""
    most = 1
    while backend.decr(key, 0, most, ttl):
        most *= 2
    least = most // 2
    while least + 1 < most:
        middle = (least + most) // 2
        if backend.decr(key, 0, middle, ttl):
            least = middle
        else:
            most = middle
    return least
