"""Owns what a client may ask for when it submits a job, and what becomes of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from triton.errors import ValidationError
from triton.events.submission import Submission
from triton.references import MAX_ARCHIVED
from triton.retry import PRESETS, RetryPolicy
from triton.signature import Signature, check_call
from triton.submit import MAX_NAME, Caller, message_for, submission_of
from triton.terms import Terms, terms_of
from triton.uniqueness import MAX_KEY, Conflict
from triton.webhooks import ACTOR as DELIVERY

if TYPE_CHECKING:
    from triton.erasure.messages import Sealing

_YEARS_MS: Final = 10 * 365 * 86_400_000
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=_YEARS_MS)]
_Preset = Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(PRESETS)})]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
#: What Dramatiq's middleware leaves in a message between attempts.
_TRACES: Final = ("retries", "traceback", "requeue_timestamp", "eta")


class UniqueOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No second job of the same tenant and actor while this key is held: by default until the job ends.

    `conflict` says what a submission gets while it is held. `return`: the job that holds it. `replace`: that
    job is cancelled if it waits, and left alone if it runs; the new one is accepted. `reject`: 409.
    """

    #: Without one, the arguments are the key.
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)] | None = None
    #: Held for so long from submit, also after the job completed; a failed or cancelled job frees it.
    window_ms: _Milliseconds = 0
    conflict: Conflict = "return"


class SubmitOptions(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """How the job is run. What is not given is the actor's own setting, as Dramatiq has it."""

    #: Milliseconds before the job may start.
    delay_ms: _Milliseconds = 0
    #: The time at which the job may start, instead of a delay; RFC 3339 with a time zone.
    run_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    #: Milliseconds within which it must first start, or it fails with the reason `expired`.
    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=_YEARS_MS)] | None = None
    #: True: by its arguments, until it ends.
    unique: UniqueOptions | bool | None = None
    #: Smaller is sooner; 0 is the default.
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    tenant: _Name | None = None
    #: What the job belongs to, in the caller's words; without any, the request's id.
    correlation: _Name | None = None
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    min_backoff: _Milliseconds | None = None
    max_backoff: _Milliseconds | None = None
    #: A preset's name (`standard`, `none`), or a policy of one's own.
    retry: _Preset | RetryPolicy | None = None
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
    """The job. `existing` is true where its idempotency key or its unique key found it there. `correlation`
    is what it belongs to: follow that for the job and those that it sends."""

    id: str
    state: str
    actor: str
    queue: str
    tenant: str
    existing: bool
    correlation: str
    links: dict[str, str]


class ReasonRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, in a person's words."""

    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class GivenReason(msgspec.Struct, frozen=True, kw_only=True):
    """Why, in a person's words: some must be there."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2000, pattern=r"\S")]


#: Terms as they are called here.
_NAMES: Final = {"run_at": "options.run_at", "ttl": "options.ttl_ms", "unique": "options.unique"}
#: Options that are of the submission, not of the message.
_OWN: Final = ("delay_ms", "run_at", "ttl_ms", "unique", "priority", "tenant", "correlation")


def submission_for(
    request: SubmitRequest,
    caller: Caller,
    *,
    job: str,
    queue: str,
    at_ms: int,
    signature: Signature | None = None,
    declared: Mapping[str, Any] | None = None,
    idempotency_key: str = "",
    partitions: int = 1,
    keep_ms: int = 0,
    sealing: Sealing | None = None,
) -> Submission:
    """The submission, which may be too large for the log: see `triton.payloads`. `job` is a new id, taken
    where no key says otherwise; `declared` are the actor's own terms; `keep_ms` is how long an idempotency
    key is known after its job's end; the caller's `correlation` holds where the options name none; `sealing`
    seals what is personal.

    Raises ValidationError for a message that is too large, a name that is not printable, a time that is
    past, arguments that do not fit the actor's signature, and the actor that delivers webhooks.
    """
    if request.actor == DELIVERY:
        # Who could submit it could have anything signed with a secret that they may not see.
        why = "is submitted by the platform alone"
        raise ValidationError(
            f"the actor {request.actor} {why}", fields=[{"field": "actor", "message": why}]
        )
    if signature is not None:
        check_call(signature, request.actor, request.args, request.kwargs)
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
    if request.options.correlation:
        caller = msgspec.structs.replace(caller, correlation=request.options.correlation)
    return submission_of(
        message,
        caller,
        terms=_terms(request.options, declared, idempotency_key, at_ms),
        partitions=partitions,
        keep_ms=keep_ms,
        priority=request.options.priority,
        most=MAX_ARCHIVED,
        sealing=sealing,
    )


def _terms(
    options: SubmitOptions,
    declared: Mapping[str, Any] | None,
    idempotency_key: str,
    at_ms: int,
) -> Terms:
    unique: object = options.unique
    if isinstance(options.unique, UniqueOptions):
        wanted = options.unique
        unique = {"key": wanted.key, "window": wanted.window_ms, "conflict": wanted.conflict}
    given = {
        "run_at": options.run_at,
        "ttl": options.ttl_ms,
        "unique": unique,
        "idempotency_key": idempotency_key or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    try:
        return terms_of(given, declared, now=at_ms * 1000, delay_ms=options.delay_ms)
    except ValidationError as error:
        fields = [
            {**field, "field": _NAMES.get(field["field"], field["field"])}
            for field in error.details["fields"]
        ]
        raise ValidationError(error.message, fields=fields) from None


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
