"""Owns how messages that are sent get their traceparent, where this process traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dramatiq import Message

from triton.broker.proxy import JobProxy

if TYPE_CHECKING:
    from triton.observe.spans import Spans


def is_retry(proxy: JobProxy | None, message: Message[Any]) -> bool:
    """Whether a message is the next attempt of the job that sends it."""
    return proxy is not None and message.message_id == proxy.claimed.job


@contextmanager
def submitting(spans: Spans, messages: Sequence[Message[Any]]) -> Iterator[list[Message[Any]]]:
    """The messages as they are sent within one span."""
    first = messages[0]
    actors = {message.actor_name for message in messages}
    name = first.actor_name if len(actors) == 1 else "several"
    given = str(first.options.get("traceparent") or "")
    with spans.submitting(
        name, first.queue_name, traceparent=given, jobs=len(messages)
    ) as traceparent:
        options = {"traceparent": traceparent} if traceparent else {}
        yield [message.copy(options=options) for message in messages]
