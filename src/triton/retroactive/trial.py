"""Owns one run of an actor on a recorded input: what it would have said and sent is caught."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final, Self, cast

import msgspec
from dramatiq import Actor, Message, Middleware
from dramatiq.broker import Broker, Consumer
from dramatiq.errors import Retry
from dramatiq.middleware import (
    AgeLimit,
    Callbacks,
    CurrentMessage,
    GroupCallbacks,
    Pipelines,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)
from dramatiq.results import Results

from triton.broker.context import current_proxy
from triton.broker.interrupts import Snooze
from triton.broker.outcomes import error_of
from triton.broker.proxy import JobProxy
from triton.broker.steps import Steps
from triton.events.codec import decode_data, encode_data
from triton.events.replies import Claimed
from triton.events.types import SCHEMA, Output, Progressed, StepCompleted
from triton.retroactive.account import MAX_MESSAGE, Account, Sent, Task, as_logged, sent_message

#: Middleware that talks to engines, or decides what comes after an attempt: neither is tried here.
_LEFT_OUT: Final = (
    AgeLimit,
    GroupCallbacks,
    Results,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)


class CatchBroker(Broker):
    """A broker that keeps what is sent, and hands out nothing. It has no connection."""

    def __init__(self) -> None:
        super().__init__(middleware=[Callbacks(), Pipelines(), CurrentMessage()])
        # Actors say options that only other middleware knows.
        self.actor_options = _Anything()
        self.caught: list[Sent] = []
        self.queues: set[str] = set()

    def declare_queue(self, queue_name: str) -> None:
        self.queues.add(queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        own = message.message if isinstance(message, JobProxy) else message
        self.caught.append(sent_message(own, delay))
        return own

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
        raise NotImplementedError("a trial runs recorded jobs only")

    def take_over(self, other: Broker) -> None:
        """Let the actors of another broker send here, and its middleware run here."""
        self.middleware = [each for each in other.middleware if not _is_left_out(each)]
        for actor in other.actors.values():
            self.take(actor)

    def take(self, actor: Actor[Any, Any]) -> None:
        actor.broker = self
        self.actors[actor.actor_name] = actor
        self.queues.add(actor.queue_name)


def _is_left_out(middleware: Middleware) -> bool:
    # Prometheus is there only where its library is.
    return isinstance(middleware, _LEFT_OUT) or type(middleware).__name__ == "Prometheus"


class _Anything(set[str]):
    """Every option is known."""

    def __contains__(self, name: object) -> bool:
        return True

    def __ior__(self, other: Iterable[Any]) -> Self:  # type: ignore[override,misc]
        return self

    def __rsub__(self, other: Iterable[Any]) -> set[Any]:
        return set()


class _Watcher:
    """Holds the lease of a job that no log knows: every report arrives, and is kept."""

    by = "worker:trial"
    silent = False

    def __init__(self, steps: dict[str, Any]) -> None:
        self._recorded = steps
        self.output: list[str] = []
        self.progress: tuple[float, str] | None = None

    def report_at(self, proxy: JobProxy, at: float) -> None:  # noqa: ARG002
        self.collect(proxy)

    def collect(self, proxy: JobProxy) -> None:
        for said in proxy.reports.take(everything=True):
            header = msgspec.msgpack.decode(said.packed[0])
            match decode_data(header[4], SCHEMA, said.packed[1]):
                case Output(chunk=chunk):
                    self.output.append(chunk)
                case Progressed(percent=percent, stage=stage):
                    self.progress = (percent, stage)
                case _:
                    pass
            if said.receipt is not None:
                said.receipt.set_result("ok")

    def say_deadline(self, proxy: JobProxy, at: float) -> None:
        """Nobody watches it: the parent process has a limit of its own."""

    def recorded_steps(self, proxy: JobProxy) -> dict[bytes, bytes]:  # noqa: ARG002
        return {
            name.encode(): encode_data(StepCompleted(name=name, result=result))
            for name, result in self._recorded.items()
        }


class _Steps(Steps):
    """Remembers which steps were asked for, and what each answered."""

    def __init__(self, proxy: JobProxy) -> None:
        # As if it were a later attempt: those have recorded steps.
        super().__init__(proxy, 2)
        self.taken: dict[str, Any] = {}

    def run(self, name: str, fn: Any) -> Any:
        self.taken[name] = result = super().run(name, fn)
        return result

    async def run_async(self, name: str, fn: Any) -> Any:
        self.taken[name] = result = await super().run_async(name, fn)
        return result


class _Proxy(JobProxy):
    def __init__(self, message: Message[Any], task: Task, watcher: _Watcher) -> None:
        claimed = Claimed(
            task.job,
            task.attempt,
            task.body,
            task.queue,
            task.tenant,
            task.causation,
            task.correlation,
            task.traceparent,
        )
        super().__init__(message, claimed, watcher)
        self.own_steps = _Steps(self)

    @property
    def steps(self) -> Steps:
        return self.own_steps


def run(broker: CatchBroker, actor: Actor[Any, Any], task: Task) -> Account:
    """What the actor makes of the input. A message that it cannot take is a failure like any other."""
    watcher = _Watcher(task.steps)
    broker.caught = []
    message: Message[Any] = Message.decode(task.body)
    proxy = _Proxy(message, task, watcher)
    token = current_proxy.set(proxy)
    begun = time.perf_counter()
    result, error = None, None
    try:
        _before(broker, proxy)
        result = actor(*message.args, **message.kwargs)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as raised:  # an interrupt is no Exception, and an outcome as well
        error = raised
    seconds = time.perf_counter() - begun
    if proxy.said_something:
        watcher.collect(proxy)
    if error is not None:
        proxy.fail()
    try:
        _after(broker, proxy, result, error)
    finally:
        current_proxy.reset(token)
    kept, omitted = as_logged(result)
    return Account(
        state=_state(error),
        result=kept,
        omitted=omitted,
        error="" if error is None else error_of(error).type,
        message="" if error is None else error_of(error).message[:MAX_MESSAGE],
        sent=list(broker.caught),
        steps=cast("_Steps", proxy.steps).taken,
        output="".join(watcher.output),
        progress=watcher.progress,
        seconds=seconds,
    )


def _before(broker: CatchBroker, proxy: JobProxy) -> None:
    for middleware in broker.middleware:
        middleware.before_process_message(broker, proxy)


def _after(broker: CatchBroker, proxy: JobProxy, result: Any, error: BaseException | None) -> None:
    said: dict[str, Any] = {"result": result} if error is None else {"exception": error}
    for middleware in reversed(broker.middleware):
        if isinstance(error, Snooze) and isinstance(middleware, Callbacks):
            continue
        _hook(broker, middleware, proxy, said)


def _hook(
    broker: CatchBroker, middleware: Middleware, proxy: JobProxy, said: dict[str, Any]
) -> None:
    try:
        middleware.after_process_message(broker, proxy, **said)
    except Exception:
        # As in a worker: a hook that fails changes no outcome.
        broker.logger.warning("the hook of %r failed", middleware, exc_info=True)


def _state(error: BaseException | None) -> str:
    match error:
        case None:
            return "completed"
        case Snooze():
            return "snoozed"
        case Retry():
            return "retry"
        case _:
            return "failed"
