"""Owns what a client may ask for when it submits a job, and what becomes of it. Pure."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import msgspec

from triton.events.scripts import Submission
from triton.retry import RetryPolicy
from triton.submit import MAX_NAME, message_for, submission_of

#: Characters of an idempotency key at most.
MAX_KEY: Final = 255
_YEARS_MS: Final = 10 * 365 * 86_400_000
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=_YEARS_MS)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
#: What Dramatiq's middleware leaves in a message between attempts.
_TRACES: Final = ("retries", "traceback", "requeue_timestamp", "eta")


class SubmitOptions(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """How the job is run. What is not given is the actor's own setting, as Dramatiq has it."""

    #: Milliseconds before the job may start.
    delay_ms: _Milliseconds = 0
    #: Smaller is sooner; 0 is the default.
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    tenant: _Name | None = None
    #: What the job belongs to, in the caller's words.
    correlation: _Name | None = None
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    min_backoff: _Milliseconds | None = None
    max_backoff: _Milliseconds | None = None
    #: A preset's name (`standard`, `none`), or a policy of one's own.
    retry: str | RetryPolicy | None = None
    #: Errors after which the job is not tried again: `ValueError`, `app.errors.BadInput`.
    no_retry: list[_Name] | None = None
    time_limit: _Milliseconds | None = None
    #: Milliseconds after which the actor is asked to end by itself.
    soft_time_limit: _Milliseconds | None = None
    max_age: _Milliseconds | None = None


class SubmitRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of an actor."""

    actor: _Name
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    #: Without one: the queue that the actor's workers declared.
    queue: _Name | None = None
    options: SubmitOptions = SubmitOptions()


class SubmitReply(msgspec.Struct, frozen=True, kw_only=True):
    """The job. `existing` is true where its idempotency key had submitted it before."""

    id: str
    state: str
    actor: str
    queue: str
    tenant: str
    existing: bool
    links: dict[str, str]


class ReasonRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, in a person's words."""

    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""


#: Options that are of the submission, not of the message.
_OWN: Final = ("delay_ms", "priority", "tenant", "correlation")


def submission_for(
    request: SubmitRequest,
    *,
    job: str,
    queue: str,
    tenant: str,
    by: str,
    at_ms: int,
    traceparent: str = "",
) -> Submission:
    """Raises ValidationError for a message that is too large or a name that is not printable."""
    options = msgspec.to_builtins(request.options)
    message = message_for(
        job=job,
        at_ms=at_ms,
        actor=request.actor,
        args=request.args,
        kwargs=request.kwargs,
        queue=queue,
        options={name: value for name, value in options.items() if name not in _OWN},
    )
    return submission_of(
        message,
        by=by,
        delay=request.options.delay_ms * 1000,
        tenant=tenant,
        correlation=request.options.correlation or "",
        traceparent=traceparent,
        priority=request.options.priority,
    )


def fresh_body(body: bytes) -> bytes:
    """The message without the traces of its attempts, so that the retry policy starts anew.

    Empty for a message that is not JSON: it is sent round as it is.
    """
    try:
        message = json.loads(body)
        options = message["options"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return b""
    message["options"] = {name: options[name] for name in options if name not in _TRACES}
    return json.dumps(message, separators=(",", ":")).encode()
