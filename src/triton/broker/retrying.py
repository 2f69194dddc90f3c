"""Owns how a retry policy works together with Dramatiq's Retries middleware, which decides and tells."""

from __future__ import annotations

import random
from typing import Final

from dramatiq.broker import Broker
from dramatiq.errors import Retry
from dramatiq.middleware import Retries

from triton.broker.interrupts import CancelRequested, LeaseLost, Snooze
from triton.broker.proxy import JobProxy
from triton.errors import ErasedError
from triton.observe.logger import get_logger
from triton.retry import is_named, policy_for

_log: Final = get_logger("triton.worker")


def after_failure(
    retries: Retries, broker: Broker, proxy: JobProxy, exception: BaseException
) -> None:
    """`decide`, and what the log of the worker says of it."""
    decide(retries, broker, proxy, exception)
    if isinstance(exception, Snooze | CancelRequested | LeaseLost):
        return
    error = type(exception).__name__
    if proxy.retry is not None:
        _log.info("job_retried", error=error, in_ms=round(proxy.retry[1]))
    elif proxy.failed:
        _say_failed(broker, proxy, exception)


def _say_failed(broker: Broker, proxy: JobProxy, exception: BaseException) -> None:
    """At Dramatiq's own level: what the actor said it may raise is no error, nor is its `Retry`."""
    actor = broker.actors.get(proxy.actor_name)
    throws = proxy.options.get("throws") or (actor and actor.options.get("throws"))
    say = _log.warning if isinstance(exception, Retry) else _log.error
    if throws and isinstance(exception, throws):
        say = _log.info
    say("job_failed", error=type(exception).__name__)


def decide(retries: Retries, broker: Broker, proxy: JobProxy, exception: BaseException) -> None:
    """What the Retries middleware does after a failed attempt, under the policy that the job has.

    Without a policy and without `no_retry` this is Dramatiq's own hook, as it is.
    """
    options = proxy.options
    if isinstance(exception, ErasedError):
        # No later attempt could read more.
        proxy.fail()
        return
    actor = broker.actors.get(proxy.actor_name)
    if "no_retry" in options and is_named(exception, options["no_retry"]):
        proxy.fail()
        return
    policy = policy_for(options, actor.options if actor else {})
    if policy is None:
        retries.after_process_message(broker, proxy, exception=exception)
        return
    done = options.get("retries", 0)
    given = options.get("max_retries")
    options["max_retries"] = policy.max_retries
    try:
        retries.after_process_message(broker, proxy, exception=exception)
    finally:
        # The next attempt's message says what this one's said, and no more.
        if given is None:
            del options["max_retries"]
    asked = isinstance(exception, Retry) and exception.delay is not None
    if proxy.retry is not None and not asked:
        # Not for security: spreads retries over time.
        proxy.retry = proxy.retry[0], policy.wait_ms(done, random.random())  # noqa: S311
