"""Owns which spans there are and how they hang together: submit, wait, run, and what follows from a run.

A job carries its traceparent in the log, as it carries its correlation. Its first attempt belongs to the
trace that submitted it. Each further attempt is a trace of its own, linked to the submission and to the
attempt before: it may come hours later, and a trace that never ends is of no use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Token
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

import triton

if TYPE_CHECKING:
    from dramatiq import Message

    from triton.events.replies import Claimed

#: The message option in which a retry carries the span of the attempt before.
PREVIOUS: Final = "previous_span"
_LENGTH: Final = 55


class Attempt(Protocol):
    """What is told of a job that runs."""

    claimed: Claimed
    actor_name: str
    options: dict[str, Any]
    failed: bool
    retry: tuple[Message[Any], int] | None

    @property
    def failure(self) -> BaseException | None:
        """What it raised."""


class Run:
    """The span of one attempt, and where it is the current one."""

    __slots__ = ("span", "thread", "token")

    def __init__(self, span: Span, token: Token[Context]) -> None:
        self.span = span
        self.token = token
        self.thread = threading.get_ident()


class Spans:
    """Makes spans through a tracer provider, by default the process's own."""

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self.provider = provider or trace.get_tracer_provider()
        self._tracer = self.provider.get_tracer("triton", triton.__version__)

    def trace_id(self) -> str:
        found = trace.get_current_span().get_span_context()
        return f"{found.trace_id:032x}" if found.is_valid else ""

    def traceparent(self) -> str:
        return traceparent_of(trace.get_current_span())

    def flush(self) -> None:
        flush = getattr(self.provider, "force_flush", None)
        if flush is not None:
            flush(5_000)

    # -- requests ------------------------------------------------------------------------------------

    def serving(self, method: str, traceparent: str) -> Run:
        """Begin the span of a request."""
        span = self._tracer.start_span(
            method,
            context=_around(parent_of(traceparent)),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method},
        )
        return Run(span, contexts.attach(trace.set_span_in_context(span)))

    def served(self, run: Run, method: str, route: str, status: int, **values: str) -> None:
        """End it."""
        span = run.span
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status, **values})
        if status >= 500 or not status:
            span.set_status(Status(StatusCode.ERROR))
        self._end(run)

    # -- jobs ----------------------------------------------------------------------------------------

    @contextmanager
    def submitting(
        self, actor: str, queue: str, *, traceparent: str = "", jobs: int = 1
    ) -> Iterator[str]:
        """The span of a submission; gives the traceparent of its jobs. Its parent is the calling code's span,
        or `traceparent` where there is none."""
        current = trace.get_current_span().get_span_context()
        parent = None if current.is_valid else parent_of(traceparent)
        attributes = {"messaging.system": "triton", "messaging.destination.name": queue}
        attributes |= {"messaging.operation.type": "send", "triton.actor": actor}
        span = self._tracer.start_span(
            f"submit {actor}",
            context=None if parent is None else _around(parent),
            kind=SpanKind.PRODUCER,
            attributes=attributes,
        )
        if jobs != 1:
            span.set_attribute("messaging.batch.message_count", jobs)
        try:
            yield traceparent_of(span)
        except BaseException as error:
            _failed(span, error)
            raise
        finally:
            span.end()

    def again(self, message: Message[Any]) -> None:
        """A retry of the running job: its next attempt is linked to this one."""
        span = trace.get_current_span()
        if span.get_span_context().is_valid:
            message.options[PREVIOUS] = traceparent_of(span)

    def begin(self, proxy: Attempt) -> Run:
        """The spans of a wait that is over, and of a run that begins."""
        claimed = proxy.claimed
        submitted = parent_of(claimed.traceparent)
        first = claimed.attempt == 1
        links: Sequence[Link] = ()
        if not first:
            before = parent_of(str(proxy.options.get(PREVIOUS) or ""))
            links = [Link(one) for one in (before, submitted) if one is not None]
        attributes: dict[str, str | int] = {
            "messaging.system": "triton",
            "messaging.operation.type": "process",
            "messaging.destination.name": claimed.queue,
            "messaging.message.id": claimed.job,
            "triton.actor": proxy.actor_name,
            "triton.attempt": claimed.attempt,
            "triton.tenant": claimed.tenant,
        }
        # Whatever the thread ran before: a job belongs to who submitted it.
        around = _around(submitted if first else None)
        now = time.time_ns()
        span = self._tracer.start_span(
            f"run {proxy.actor_name}",
            context=around,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=links,
            start_time=now,
        )
        if claimed.waited >= 0:
            waiting = self._tracer.start_span(
                f"wait {proxy.actor_name}",
                context=around if first else trace.set_span_in_context(span),
                attributes={"messaging.message.id": claimed.job},
                start_time=now - claimed.waited * 1000,
            )
            waiting.end(now)
        return Run(span, contexts.attach(trace.set_span_in_context(span)))

    def end(self, run: Run, proxy: Attempt) -> None:
        """The attempt is over, and so are its hooks."""
        error = proxy.failure
        outcome = "completed"
        if proxy.retry is not None:
            outcome = "retried"
        elif proxy.failed:
            outcome = "failed"
        elif error is not None:
            outcome = "put_off"
        run.span.set_attribute("triton.outcome", outcome)
        if error is not None and outcome != "put_off":
            _failed(run.span, error)
        self._end(run)

    def _end(self, run: Run) -> None:
        run.span.end()
        # An attempt that was given up is ended by another thread, whose context is its own.
        if run.thread == threading.get_ident():
            contexts.detach(run.token)


def traceparent_of(span: Span) -> str:
    """W3C's traceparent of a span; empty where it is none."""
    found = span.get_span_context()
    if not found.is_valid:
        return ""
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"


def parent_of(traceparent: str) -> SpanContext | None:
    """The span that a traceparent names; None where it is none."""
    if len(traceparent) < _LENGTH or traceparent[:2] == "ff":
        return None
    _, trace_id, span_id, flags, *_ = (*traceparent.split("-"), "", "", "", "")
    try:
        found = SpanContext(
            trace_id=int(trace_id, 16),
            span_id=int(span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(int(flags[:2], 16)),
        )
    except ValueError:
        return None
    return found if found.is_valid else None


def _around(parent: SpanContext | None) -> Context:
    """A context that holds nothing but a span, or nothing at all: then a trace begins."""
    empty = Context()
    return empty if parent is None else trace.set_span_in_context(NonRecordingSpan(parent), empty)


def _failed(span: Span, error: BaseException) -> None:
    # Not what it says: that may quote arguments, and a job's history has it.
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))
