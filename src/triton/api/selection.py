"""Owns what a client may ask for to requeue or cancel all jobs that a filter matches. Pure.

A dry run comes first. Its token holds the filter and how far the log had been seen, so what is done later is
done to jobs that the dry run counted, and to no other; those that changed meanwhile are left out. A count
would not do: another set of jobs can have the same size.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from triton.api.pages import Keys
from triton.api.views import rfc3339_of
from triton.errors import ConflictError, ValidationError
from triton.submit import MAX_NAME

Action = Literal["requeue", "cancel"]
State = Literal["scheduled", "pending", "processing", "failed", "cancelled"]
#: The states in which a job can be acted on; the first is what a filter without `status` means.
STATES: Final[Mapping[Action, tuple[tuple[State, ...], tuple[State, ...]]]] = {
    "requeue": (("failed",), ("failed", "cancelled")),
    "cancel": (("scheduled", "pending", "processing"), ("scheduled", "pending", "processing")),
}
#: Jobs that one call acts on, at most and without a limit; skipped jobs that an answer names.
MOST: Final = 10_000
PAGE: Final = 5_000
NAMED: Final = 100
#: Jobs that a dry run shows.
SAMPLE: Final = 10

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00]+\Z")]
_Word = Annotated[str, msgspec.Meta(max_length=MAX_NAME, pattern=r"^[^\x00]*\Z")]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class JobFilter(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Which jobs; what is not given does not filter. `..._after` is inclusive, `..._before` is not.

    Without `status`: to requeue, failed ones; to cancel, all that have not ended.
    """

    status: list[State] | None = None
    queue: _Name | None = None
    actor: _Name | None = None
    #: The class name of what was raised.
    error: _Word | None = None
    reason: _Word | None = None
    tenant: _Name | None = None
    submitted_after: _Time | None = None
    submitted_before: _Time | None = None
    ended_after: _Time | None = None
    ended_before: _Time | None = None


class SelectionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First `{"filter": ..., "dry_run": true}`, then `{"token": ..., "reason": ...}` until `next` is null."""

    filter: JobFilter | None = None
    dry_run: bool = False
    token: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    #: Why, in a person's words: it is in each job's event. Required with a token.
    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = PAGE


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a dry run saw, and how far the real run has come."""

    action: Action
    filter: JobFilter
    #: Log position per partition up to which jobs were seen, and a digest of the epochs they are of.
    positions: list[int]
    epochs: str
    count: int
    #: Names the run for the scripts.
    op: str
    after: Keys | None = None


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """One of the jobs that a dry run found."""

    id: str
    actor: str
    queue: str
    tenant: str
    state: str
    error: str
    reason: str
    submitted_at: str
    finished_at: str | None


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was left alone: `changed` since the dry run, `gone` (its message left Redis), `ended`,
    `already` (asked to stop before), `held` (another job has its unique key)."""

    id: str
    why: str


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What the filter matches now; `sample` are the newest. Nothing was done."""

    action: Action
    count: int
    by_state: dict[str, int]
    sample: list[Sampled]
    token: str


class Acted(msgspec.Struct, frozen=True, kw_only=True):
    """What one call did of the `count` that the dry run found. `next` goes into the next call as `token`;
    null when nothing is left."""

    action: Action
    count: int
    done: int
    skipped: int
    #: The first hundred of those.
    skips: list[Skipped]
    next: str | None


def check(request: SelectionRequest, action: Action) -> None:
    """Raises ValidationError for what is neither a dry run nor its continuation."""
    if (request.token is None) == (request.filter is None):
        raise _invalid("token", "send either a filter, for a dry run, or the token of one")
    if request.filter is not None and not request.dry_run:
        raise _invalid(
            "dry_run",
            "a dry run comes first: send true, look at what it found, then send its token",
        )
    if request.token is not None and request.dry_run:
        raise _invalid("dry_run", "the token is of a dry run: send it without dry_run to act")
    allowed = STATES[action][1]
    for state in (request.filter.status or ()) if request.filter else ():
        if state not in allowed:
            raise _invalid("filter.status", f"{state} jobs cannot be {_PAST[action]}")


def write(token: Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=").decode()


def read(text: str, action: Action, epochs: Sequence[str]) -> Token:
    """Raises ValidationError for a text that is no token of this action, ConflictError where the log was
    replaced since."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        token = msgspec.json.decode(raw, type=Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise _invalid("token", "not the token of a dry run") from error
    if token.action != action:
        raise _invalid("token", f"it is of a dry run of {token.action}")
    if token.epochs != digest(epochs) or len(token.positions) != len(epochs):
        raise ConflictError("the log was replaced since the dry run: do another one")
    return token


def digest(epochs: Sequence[str]) -> str:
    return hashlib.sha256("/".join(epochs).encode()).hexdigest()[:16]


def states_of(chosen: JobFilter, action: Action) -> list[State]:
    return list(chosen.status or STATES[action][0])


def values_of(chosen: JobFilter, action: Action) -> dict[str, Any]:
    """The filter for `sql/selection.sql`."""
    return {**msgspec.structs.asdict(chosen), "status": states_of(chosen, action)}


def sampled(row: Mapping[str, Any]) -> Sampled:
    return Sampled(
        id=row["job"],
        actor=row["actor"],
        queue=row["queue"],
        tenant=row["tenant"],
        state=row["state"],
        error=(row["error"] or {}).get("type", ""),
        reason=row["reason"],
        submitted_at=rfc3339_of(row["submitted_at"]) or "",
        finished_at=rfc3339_of(row["finished_at"]),
    )


_PAST: Final = {"requeue": "requeued", "cancel": "cancelled"}


def _invalid(field: str, message: str) -> ValidationError:
    return ValidationError(f"{field}: {message}", fields=[{"field": field, "message": message}])
