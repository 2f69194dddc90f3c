"""Owns what a client may ask for when it submits many jobs, and what it is told of each. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import msgspec
import uuid_utils

from triton.api.actors import Declared
from triton.api.problems import MalformedError
from triton.api.submission import SubmitRequest, submission_for
from triton.api.wire import decode
from triton.archive import TooLargeError
from triton.bulk import MAX_JOBS, Mode, Receipt, refused
from triton.erasure.messages import Sealing
from triton.errors import ErasedError, ForbiddenError, ValidationError
from triton.events.submission import Submission
from triton.submit import Caller
from triton.uniqueness import MAX_KEY

#: Bytes of a body at most.
MAX_BULK: Final = 32 * 1024 * 1024


class BulkItem(SubmitRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of an actor, as for one job; the same `idempotency_key` is the same job, in any call."""

    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)] | None = None


class BulkRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to 10,000 jobs. Mode `all` submits nothing where one of them does not fit, `partial` the others."""

    jobs: list[msgspec.Raw]
    mode: Mode = "all"


class BulkCall(msgspec.Struct, frozen=True, kw_only=True):
    """The request as it is documented. More than 10,000 jobs are a 413."""

    jobs: Annotated[list[BulkItem], msgspec.Meta(min_length=1)]
    mode: Mode = "all"


class BulkReply(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt per job, in the order of the call, and how many there are of each kind."""

    mode: Mode
    accepted: int
    existing: int
    rejected: int
    jobs: list[Receipt]


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What all jobs of a call have in common."""

    #: Its tenant and correlation are of the jobs that do not say theirs.
    caller: Caller
    #: Whether the caller may name a tenant.
    sees: Callable[[str], bool]
    at_ms: int
    #: The whole call's idempotency key; empty for none.
    key: str
    partitions: int
    #: Milliseconds after its end for which a job answers to its idempotency key.
    keep_ms: int
    #: What seals personal data, where an actor takes any.
    sealing: Sealing | None = None


def check_count(request: BulkRequest) -> None:
    """Raises TooLargeError, ValidationError."""
    if len(request.jobs) > MAX_JOBS:
        raise TooLargeError(
            f"the call has {len(request.jobs)} jobs, at most {MAX_JOBS} are taken: send several calls",
            max_jobs=MAX_JOBS,
        )
    if not request.jobs:
        raise ValidationError(
            "the call has no jobs", fields=[{"field": "jobs", "message": "is empty"}]
        )


def item_of(index: int, raw: msgspec.Raw) -> BulkItem | Receipt:
    """A job of the call as it was asked for, or its refusal."""
    try:
        return decode(raw, BulkItem)
    except ValidationError as error:
        return refused(index, error)
    except MalformedError as error:
        # What the whole body's decoder skipped over: too deep a nesting, a text that is no UTF-8.
        return refused(index, ValidationError(error.message))


def checked_item(
    index: int, item: BulkItem | Receipt, actors: Mapping[str, Declared], common: Common
) -> Submission | Receipt:
    """The item's submission, or its refusal; `actors` has what is known of each."""
    if isinstance(item, Receipt):
        return item
    caller = common.caller
    if tenant := item.options.tenant:
        caller = msgspec.structs.replace(caller, tenant=tenant)
    if not common.sees(caller.tenant):
        why = f"the tenant {caller.tenant!r} is not that of {caller.by}"
        return refused(index, ForbiddenError(why))
    try:
        return submission_for(
            item,
            caller,
            job=str(uuid_utils.uuid7()),
            queue=item.queue or actors[item.actor].queue,
            signature=actors[item.actor].signature,
            declared=actors[item.actor].terms,
            at_ms=common.at_ms,
            idempotency_key=_key_of(index, item, common.key),
            partitions=common.partitions,
            keep_ms=common.keep_ms,
            sealing=common.sealing,
        )
    except (ValidationError, ErasedError) as error:
        return refused(index, error)


def is_keyed(item: BulkItem | Receipt, common: Common) -> bool:
    """Whether the item's id may have been submitted before."""
    return bool(common.key) or (isinstance(item, BulkItem) and item.idempotency_key is not None)


def _key_of(index: int, item: BulkItem, key: str) -> str:
    if item.idempotency_key is not None:
        return item.idempotency_key
    return f"{hashlib.sha256(key.encode()).hexdigest()}/{index}" if key else ""
