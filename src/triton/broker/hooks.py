"""Owns the run of the middleware's hooks after an actor, and what of theirs belongs to the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from dramatiq import Message
from dramatiq.broker import Broker
from dramatiq.middleware import Callbacks, GroupCallbacks, Middleware, Retries
from dramatiq.threading import Interrupt

from triton.broker.groups import after_success, is_stock
from triton.broker.interrupts import CancelRequested, Snooze
from triton.broker.proxy import JobProxy
from triton.broker.retrying import after_failure
from triton.observe import tracing

if TYPE_CHECKING:
    from triton.erasure.attempt import Attempt


def follows(proxy: JobProxy, message: Message[Any]) -> bool:
    """Whether a message that the job's thread sends is a part of the job's outcome."""
    if proxy.packed:
        return False
    return proxy.after_actor or message.message_id == proxy.claimed.job


def holds_message(options: Mapping[str, Any], message_id: str) -> bool:
    """Whether a job's options hold the message of this id, so that a repeat would send the same id."""
    named = [options.get("pipe_target"), *(options.get("group_completion_callbacks") or ())]
    return any(isinstance(each, dict) and each.get("message_id") == message_id for each in named)


def run_hooks(broker: Broker, proxy: JobProxy, middleware: Sequence[Middleware]) -> None:
    """Run the hook of each of this middleware, the last first, to its end and once, with what the actor did.

    An interrupt (a time limit, say) comes too late now. The hook that it stopped begins anew.
    """
    proxy.wrap()
    while not proxy.settled:
        with suppress(Interrupt):
            _go_on(broker, proxy, middleware)
    end_span(proxy)


def end_span(proxy: JobProxy) -> None:
    """The attempt is over, where this process traces."""
    run, proxy.traced = proxy.traced, None
    if run is not None and (spans := tracing.active()) is not None:
        spans.end(run, proxy)


def _call_back(
    broker: Broker, proxy: JobProxy, exception: BaseException, personal: Attempt
) -> None:
    """What Callbacks does after a failure, with the error's message marked."""
    declared = broker.get_actor(proxy.actor_name).options
    name = proxy.options.get("on_failure") or declared.get("on_failure")
    if name:
        said = {"type": type(exception).__name__, "message": personal.message(str(exception))}
        broker.get_actor(name).send(proxy.asdict(), said)


def _go_on(broker: Broker, proxy: JobProxy, hooked: Sequence[Middleware]) -> None:
    if proxy.hooks is None:
        proxy.hooks = list(hooked)
    exception = proxy.exception
    personal = proxy.personal
    result = proxy.result if personal is None else personal.passed_on(proxy.result)
    outcome: dict[str, Any] = {"result": result} if exception is None else {"exception": exception}
    while proxy.hooks:
        middleware = proxy.hooks[-1]
        before = (
            len(proxy.outbox),
            len(proxy.apart),
            proxy.followed,
            proxy.retry,
            proxy.unsent,
        )
        try:
            if isinstance(middleware, Retries) and exception is not None:
                after_failure(middleware, broker, proxy, exception)
            elif personal is not None and exception is not None and type(middleware) is Callbacks:
                _call_back(broker, proxy, exception, personal)
            elif exception is None and is_stock(middleware):
                after_success(cast("GroupCallbacks", middleware), broker, proxy)
            else:
                middleware.after_process_message(broker, proxy, **outcome)
        except Interrupt:
            proxy.go_back(*before)
            raise
        except Exception:
            broker.logger.critical(
                "Unexpected failure in after_process_message of %r.",
                middleware,
                exc_info=not proxy.seals_errors,
            )
        proxy.hooks.pop()
    _settle(proxy)
    proxy.settled = True


def _settle(proxy: JobProxy) -> None:
    # Whatever the retry policy made of them: a snooze is no failure, and a cancelled job gave no result.
    if isinstance(proxy.exception, Snooze):
        proxy.failed = False
    elif isinstance(proxy.exception, CancelRequested):
        proxy.failed = True
    elif proxy.unsent is not None and proxy.exception is None:
        _fail(proxy, proxy.unsent)


def _fail(proxy: JobProxy, error: Exception) -> None:
    """The actor returned, but what was to follow from that cannot be a job: say so, and send nothing."""
    proxy.outbox.clear()
    proxy.apart.clear()
    proxy.exception, proxy.result, proxy.failed = error, None, True
