"""Owns what is known of one attempt, whether the log recorded it or the test bed watched it. Pure."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import msgspec
from dramatiq import Message

from triton.erasure.messages import unwrapped
from triton.events.codec import encode_data
from triton.events.render import message_of
from triton.events.types import Completed


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the actor sent. `args` and `kwargs` are None where the message is not JSON."""

    actor: str
    queue: str
    args: Any = None
    kwargs: Any = None
    delayed: bool = False
    #: Of a recorded one, until its arguments were fetched: its job and its encoded message.
    job: str = ""
    body: bytes = b""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt went.

    `state`: completed | failed | snoozed | retry | crashed | hung. `error` is the class of what it raised.
    """

    state: str
    result: Any = None
    #: Why a result is not there: it is no plain data, or too large.
    omitted: bool = False
    error: str = ""
    message: str = ""
    sent: list[Sent] = []
    #: In the order in which they were first asked for.
    steps: dict[str, Any] = {}
    output: str = ""
    #: Of a recorded one, until it was read: the pieces of its output.
    chunks: tuple[str, ...] = ()
    #: Percent and stage that were said last.
    progress: tuple[float, str] | None = None
    seconds: float = 0.0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded input: the job's message, and what its steps answer by their names."""

    job: str
    attempt: int
    queue: str
    tenant: str
    causation: str
    correlation: str
    traceparent: str
    body: bytes
    steps: dict[str, Any]


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One past job: its input, and how its last attempt went."""

    task: Task
    account: Account


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of a trial is told first. `allow_network`: connections are not refused."""

    module: str
    actor: str
    allow_network: bool = False


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What it answers: the actor's name, or one sentence why there is none. `closed` says how tight it is."""

    actor: str = ""
    problem: str = ""
    closed: str = ""


#: Characters of an error's message that are kept.
MAX_MESSAGE: Final = 500


def sent_of(body: bytes, actor: str, queue: str, *, delayed: bool) -> Sent:
    """The message that an encoded body holds."""
    found = message_of(body)
    return Sent(
        actor=actor,
        queue=queue,
        args=msgspec.json.decode(found.args),
        kwargs=msgspec.json.decode(found.kwargs),
        delayed=delayed,
    )


def sent_message(message: Message[Any], delay: int | None) -> Sent:
    """The same of a message that was caught. One that cannot be encoded raises what its encoder raises."""
    delayed = bool(delay) or "eta" in message.options
    args, kwargs = unwrapped(message.args), unwrapped(message.kwargs)
    message = dataclasses.replace(message, args=args, kwargs=kwargs)
    return sent_of(message.encode(), message.actor_name, message.queue_name, delayed=delayed)


def as_logged(result: Any) -> tuple[Any, bool]:
    """The result as the log would hold it, and whether it could not."""
    try:
        encode_data(Completed(result=result))
        return msgspec.msgpack.decode(msgspec.msgpack.encode(result)), False
    except Exception:
        return None, True
