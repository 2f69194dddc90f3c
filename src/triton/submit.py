"""Owns how a Dramatiq message becomes a submission. Pure: ids and times come in as arguments."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from dramatiq import Message
from dramatiq.message import get_encoder

from triton.errors import ValidationError, invalid
from triton.events.codec import encode_data
from triton.events.submission import Submission
from triton.events.types import Submitted
from triton.references import check_free
from triton.retry import plain_options
from triton.terms import Terms, without_terms
from triton.uniqueness import fitting_id, payload_digest, unique_digest

if TYPE_CHECKING:
    from triton.erasure.messages import Sealing

DEFAULT_TENANT: Final = "default"
#: Of a job whose actor no worker has declared yet.
DEFAULT_QUEUE: Final = "default"
#: Bytes of one encoded message in the log at most.
MAX_BODY: Final = 512 * 1024
#: Characters of a job id, queue, actor or tenant name at most.
MAX_NAME: Final = 200
_NO_TERMS: Final = Terms()
_IDS: Final = uuid.UUID("8b0f2f0e-6a35-5b0c-9d53-3f7b7a4f6e11")


class Caller(msgspec.Struct, frozen=True):
    """Who submits, in whose name, and what led to it; empty where nobody says."""

    #: What the events say: `user:ID`, `key:ID`, `worker:ID`, `system`.
    by: str
    tenant: str = ""
    #: The job that sends, as `job:ID`.
    causation: str = ""
    #: What the job, and whatever follows from it, belongs to.
    correlation: str = ""
    #: W3C's trace context.
    traceparent: str = ""


def job_id_for(tenant: str, idempotency_key: str) -> str:
    """The job id of an idempotency key: the same key of the same tenant is the same job."""
    return str(uuid.uuid5(_IDS, f"{tenant}\0{idempotency_key}"))


def child_id(parent: str, attempt: int, number: int) -> str:
    """The id of the n-th message that follows from an attempt's outcome: a repeat is the same job."""
    return str(uuid.uuid5(_IDS, f"{parent}\0{attempt}\0{number}"))


def message_for(
    *,
    job: str,
    at_ms: int,
    actor: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue: str = DEFAULT_QUEUE,
    options: Mapping[str, Any] | None = None,
) -> Message[Any]:
    """The Dramatiq message of a job that no actor object is at hand for (HTTP, command line)."""
    return Message(
        queue_name=queue,
        actor_name=actor,
        args=tuple(args),
        kwargs=dict(kwargs or {}),
        options=dict(options or {}),
        message_id=job,
        message_timestamp=at_ms,
    )


def submission_of(
    message: Message[Any],
    caller: Caller,
    *,
    due: int = 0,
    delay: int = 0,
    priority: int = 0,
    terms: Terms = _NO_TERMS,
    partitions: int = 1,
    keep_ms: int = 0,
    most: int = MAX_BODY,
    sealing: Sealing | None = None,
) -> Submission:
    """The submission of a message; `tenant`, `correlation` and `traceparent` among the message's options
    win over the caller's, `priority` over the argument. `due` is in microseconds since 1970, `delay` in
    microseconds from the log server's now; both 0 for at once.

    What `terms` ask for wins over `due` and `delay`; the terms among the options are not looked at, and
    not stored. An idempotency key gives the job its id, and its head stays for `keep_ms` milliseconds
    after its end; a unique key among several partitions may give it another id too. `most` is how many
    bytes the message may have; above MAX_BODY it must go by reference (see `triton.payloads`).
    `sealing` seals what is personal (see `triton.erasure`), and then is the only I/O.
    Raises ValidationError naming the field that is wrong.
    """
    due, delay = _times(terms.due or due, terms.delay or delay)
    check_free(message.kwargs)
    if plain := plain_options(message.options):
        message = message.copy(options=plain)
    options = message.options
    tenant = str(options.get("tenant") or caller.tenant or DEFAULT_TENANT)
    unique, key = terms.unique, terms.idempotency_key
    personal = sealing.look(message, tenant) if sealing is not None else None
    call: tuple[str, Sequence[Any], Mapping[str, Any]] = (
        message.actor_name,
        message.args,
        message.kwargs,
    )
    if personal is not None and (unique or key):
        call = message.actor_name, *personal.comparable()
    digest = unique_digest(unique, tenant, *call) if unique else ""
    if digest or key:
        message = _named(message, tenant, key, digest, partitions)
    priority = _whole("priority", options.get("priority", priority))
    correlation = str(options.get("correlation") or caller.correlation)
    _check_names(message, tenant, correlation)
    traceparent = str(options.get("traceparent") or caller.traceparent)
    if personal is not None:
        message = personal.sealed(message)
    body = _encoded(message)
    if len(body) > most:
        raise too_large(message.actor_name, len(body), "args", most)
    window = unique.window if unique else 0
    payload = payload_digest(*call) if key else ""
    keep_ms = keep_ms if payload else 0
    data = Submitted(
        actor=message.actor_name,
        body=body,
        priority=priority,
        due=due,
        unique=digest,
        window=window,
        payload=payload,
        keep=keep_ms,
    )
    return Submission(
        job=message.message_id,
        queue=message.queue_name,
        actor=message.actor_name,
        tenant=tenant,
        by=caller.by,
        causation=caller.causation,
        correlation="" if correlation == message.message_id else correlation,
        # A trace context that is none is dropped, as W3C asks for.
        traceparent=traceparent if _is_name(traceparent) else "",
        priority=priority,
        due=due,
        delay=delay,
        ttl=terms.ttl,
        unique=digest,
        window_ms=window,
        conflict=unique.conflict if unique else "return",
        payload=payload,
        keep_ms=keep_ms,
        data=encode_data(data),
        body=body,
    )


def _encoded(message: Message[Any]) -> bytes:
    try:
        stored = without_terms(message)
        # `Message.encode` asks the dataclass for its fields, one by one: a third of its time.
        return (
            get_encoder().encode(dict(vars(stored))) if type(stored) is Message else stored.encode()
        )
    except Exception as error:
        # Whatever an application's own encoder raises. Options are plain data nearly always.
        field = "options" if _can_be_encoded(message._replace(options={})) else "args"
        raise invalid(
            field, f"not to be encoded ({type(error).__name__}: {error})", "values that JSON has"
        ) from error


def _can_be_encoded(message: Message[Any]) -> bool:
    try:
        message.encode()
    except Exception:
        return False
    return True


def _named(
    message: Message[Any], tenant: str, key: str, digest: str, partitions: int
) -> Message[Any]:
    """The message under the id that its keys ask for. A unique key must lie in the job's partition, so
    that one script reaches both: then it is the first id that lies there."""

    def make(number: int) -> str:
        if key:
            return job_id_for(tenant, f"{key}\0{number}" if number else key)
        return child_id(message.message_id, 0, number) if number else message.message_id

    job = fitting_id(make, digest, partitions) if digest and partitions > 1 else make(0)
    return message._replace(message_id=job)


def too_large(actor: str, size: int, field: str, most: int) -> ValidationError:
    """The error of a message that is too large."""
    hint = (
        "set TRITON_ARCHIVE_URL (file:///folder or s3://bucket/prefix, the same for senders and workers), "
        "so that large arguments go by reference"
        if most == MAX_BODY and field == "args"
        else "put the data into the archive and pass a reference"
    )
    return ValidationError(
        f"the message of {actor} has {size} bytes, at most {most} are taken: {hint}",
        fields=[{"field": field, "message": f"{size} bytes, at most {most}"}],
    )


def _whole(field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -1000 <= value <= 1000:
        raise invalid(field, repr(value), "a whole number from -1000 to 1000")
    return value


def _times(due: object, delay: object) -> tuple[int, int]:
    """Both in microseconds, one of them 0 at least."""
    due, delay = _microseconds("due", due), _microseconds("delay", delay)
    if due and delay:
        raise invalid("delay", f"{delay} beside a due time", "one of both")
    return due, delay


def _microseconds(field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise invalid(field, repr(value), f"whole microseconds from 0 to {2**53 - 1}")
    return value


def _check_names(message: Message[Any], tenant: str, correlation: str) -> None:
    names: dict[str, object] = {
        "message_id": message.message_id,
        "queue": message.queue_name,
        "actor": message.actor_name,
        "tenant": tenant,
    }
    if correlation:
        names["correlation"] = correlation
    for field, value in names.items():
        if not _is_name(value):
            raise invalid(field, repr(value), f"1 to {MAX_NAME} printable characters")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()
