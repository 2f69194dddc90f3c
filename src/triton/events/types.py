"""Owns the event types: what happened, as one tagged union of immutable Structs.

Every type is past tense. What happened to a job has the prefix `job.`; the others are administrative: they
belong to no job, and no state follows from them. The Struct holds only what is special to the type;
job, version, attempt, time and who caused it are in the envelope (`triton.events.envelope`). Times are
microseconds since 1970, by the log server's clock. A change of meaning is a new schema version with an
upcaster (`triton.events.upcasts`) and a new golden file; fields with defaults may be added freely.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

#: The schema version that new events are written with.
SCHEMA: Final = 1


class _Data(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    pass


class Error(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an actor raised: the exception's class name, its message, and the end of its traceback."""

    type: str
    message: str = ""
    traceback: str = ""


class Submitted(_Data, frozen=True, tag="job.submitted"):
    """A job was accepted. `body` is the encoded Dramatiq message; `due` is 0 for "at once".

    `expires`: the job fails unless it first started before; 0 for never. `unique`: the digest of its
    unique key, or empty; `window`: milliseconds for which it is held, 0 until the job ends. `payload`: the
    digest of what was asked for under an idempotency key, or empty; `keep`: milliseconds after the job's end
    for which it answers to that key.
    """

    actor: str
    body: bytes
    priority: int = 0
    due: int = 0
    expires: int = 0
    unique: str = ""
    window: int = 0
    payload: str = ""
    keep: int = 0


class Due(_Data, frozen=True, tag="job.due"):
    """The time of a scheduled job came: it waits for a worker now."""


class Started(_Data, frozen=True, tag="job.started"):
    """A worker took the job under a lease; the envelope's attempt is the fence of that lease."""

    worker: str


class Progressed(_Data, frozen=True, tag="job.progressed"):
    """The actor said how far it is: percent 0 to 100, and a stage in its own words."""

    percent: float
    stage: str = ""


class Output(_Data, frozen=True, tag="job.output"):
    """A piece of streamed output, in order within the attempt."""

    chunk: str


class StepCompleted(_Data, frozen=True, tag="job.step_completed"):
    """A durable step ran to its end; a later attempt gets `result` instead of running it again."""

    name: str
    result: Any = None


class RetryScheduled(_Data, frozen=True, tag="job.retry_scheduled"):
    """The attempt failed and another follows at `due`."""

    error: Error
    due: int = 0
    retries: int = 0


class Snoozed(_Data, frozen=True, tag="job.snoozed"):
    """The actor asked to be run again at `due`; that is no failure."""

    due: int = 0
    reason: str = ""


class Released(_Data, frozen=True, tag="job.released"):
    """The worker gave the job back unfinished, usually because it was shutting down."""

    reason: str = ""


class LeaseLost(_Data, frozen=True, tag="job.lease_lost"):
    """The worker's heartbeat stopped; it counts as dead. `deaths` counts the leases this job lost."""

    worker: str
    deaths: int


class CancelRequested(_Data, frozen=True, tag="job.cancel_requested"):
    """Somebody wants the running job to stop; its worker is told with the next heartbeat."""

    reason: str = ""


class Completed(_Data, frozen=True, tag="job.completed"):
    """The actor returned `result`; `omitted` says why a result is not here (too large, no plain data)."""

    result: Any = None
    omitted: str = ""


class Failed(_Data, frozen=True, tag="job.failed"):
    """The job ended without success and is not tried again. `reason` is one word for machines:

    `error` (the actor raised), `time_limit` (it ran for too long), `died` (it lost too many leases),
    `rejected` (it could not be run), `expired` (it did not start within its time to live), `erased` (its
    data subject was erased).
    """

    error: Error
    reason: str = "error"


class Cancelled(_Data, frozen=True, tag="job.cancelled"):
    """The job was ended because somebody asked for it."""

    reason: str = ""


class Requeued(_Data, frozen=True, tag="job.requeued"):
    """A person sent an ended job round again: the job begins another life."""

    reason: str = ""


class Administrative(_Data, frozen=True):
    """What happened to no job: its envelope has an empty job and queue, version 0 and attempt 0."""


class QueuePaused(Administrative, frozen=True, tag="queue.paused"):
    """From here on no job of the queue is handed out in this partition; what runs goes on."""

    queue: str
    reason: str = ""


class QueueDrained(Administrative, frozen=True, tag="queue.drained"):
    """From here on no new job is taken into the queue in this partition; what is there is run."""

    queue: str
    reason: str = ""


class QueueResumed(Administrative, frozen=True, tag="queue.resumed"):
    """The end of a pause or a drain of the queue in this partition."""

    queue: str
    reason: str = ""


class AuditRead(Administrative, frozen=True, tag="audit.read"):
    """Somebody asked the audit: `what` is the question (`why`, `at`, `diff`, `export`, `events`), `filter`
    all that it was asked with."""

    what: str
    filter: dict[str, str] = {}
    reason: str = ""


class HoldPlaced(Administrative, frozen=True, tag="hold.placed"):
    """A legal hold began: nothing leaves the archive that is of the `scope` (`tenant`, `queue` or `job`)
    named `value`."""

    hold: str
    scope: str
    value: str
    reason: str = ""


class HoldLifted(Administrative, frozen=True, tag="hold.lifted"):
    """A legal hold ended."""

    hold: str
    scope: str
    value: str
    reason: str = ""


class RetentionSet(Administrative, frozen=True, tag="retention.set"):
    """For how many days events of a tenant and queue are kept from now on; an empty name is every one, 0 days
    are for ever. `before` is what was so, -1 where nothing was said."""

    tenant: str = ""
    queue: str = ""
    days: int = 0
    before: int = -1
    reason: str = ""


class SegmentExpired(Administrative, frozen=True, tag="segment.expired"):
    """A segment of the archive was removed, because all that it held had outlived its retention.

    `sha256` (hex) is of the file that went, `root` (hex) the root of the partition's tree after `last`,
    `events` their number. What stays: the manifest, whose SHA-256 is `manifest`; the leaf hashes, a file
    whose SHA-256 is `leaves`; and the tiles. A manifest names the one before, and what is older expired
    before: so the event also stands for all segments of the same tree before it.
    """

    partition: int
    epoch: str
    first: int
    last: int
    key: str
    sha256: str
    root: str
    events: int = 0
    manifest: str = ""
    leaves: str = ""
    reason: str = ""


class SubjectErased(Administrative, frozen=True, tag="subject.erased"):
    """The key of a person's fields was destroyed: what they held can be read no more, and every proof over
    their bytes still verifies. `subject` is a digest, never the name."""

    subject: str
    tenant: str = ""
    reason: str = ""


class KeyRotated(Administrative, frozen=True, tag="key.rotated"):
    """Tree heads are signed by another key from here on; both are key ids (hex).

    `size`: heads of this partition's tree of more events are signed by the new key only.
    """

    previous: str
    key: str
    size: int = 0
    reason: str = ""


class QuotaSet(Administrative, frozen=True, tag="quota.set"):
    """What a tenant may use from now on; a quota that is not there is no limit."""

    jobs_per_second: float | None = None
    max_pending: int | None = None
    max_stored_bytes: int | None = None
    max_streams: int | None = None
    reason: str = ""


class RecordChanged(Administrative, frozen=True, tag="record.changed"):
    """A record of the domain was `created`, `updated` or `removed`; `kind` is client, prompt and so on. The
    log does not hold what it says: `sha256` (hex) is of its JSON as `GET` shows it at that `version`, and at
    its last one where it was removed."""

    kind: str
    record: str
    change: str
    version: int
    sha256: str
    reason: str = ""


class UserAdded(Administrative, frozen=True, tag="user.added"):
    """A person may log in from here on. `user` is an id: a log that is never changed holds no names."""

    user: str
    role: str
    reason: str = ""


class UserChanged(Administrative, frozen=True, tag="user.changed"):
    """What a person may do changed: `change` is role, disabled, enabled or password; `value` and `before` are
    roles."""

    user: str
    change: str
    value: str = ""
    before: str = ""
    reason: str = ""


class OrganizationAdded(Administrative, frozen=True, tag="organization.added"):
    """There is a tenant with this id from here on."""

    organization: str
    reason: str = ""


class OrganizationChanged(Administrative, frozen=True, tag="organization.changed"):
    """A tenant was `disabled` or `enabled`: whether its people and keys are let in."""

    organization: str
    change: str
    reason: str = ""


class LoginAccepted(Administrative, frozen=True, tag="login.accepted"):
    """A person logged in, from somewhere in `network` (an IPv4 /24 or IPv6 /48: no one's address)."""

    user: str
    session: str
    network: str = ""


class LoginRefused(Administrative, frozen=True, tag="login.refused"):
    """Somebody was not let in: `why` is password, disabled or unknown. `user` is empty for a login that
    nobody has; what was typed is not kept."""

    why: str
    user: str = ""
    network: str = ""


class LoginBlocked(Administrative, frozen=True, tag="login.blocked"):
    """So many were refused that no password is looked at for `seconds`: `of` is account or network. Written
    once for each time that this begins."""

    of: str
    seconds: int
    user: str = ""
    network: str = ""


class SessionEnded(Administrative, frozen=True, tag="session.ended"):
    """No token of a login counts any more: `why` is logout, disabled, password, or reuse: a refresh token
    came a second time, so somebody else has a copy of it."""

    user: str
    session: str
    why: str
    network: str = ""


class ApiKeyMade(Administrative, frozen=True, tag="api_key.made"):
    """An API key lets its holder in from here on. `owner` is a user's id, `expires` in microseconds since
    1970; empty and 0 for none."""

    prefix: str
    role: str
    scopes: list[str] = []
    owner: str = ""
    expires: int = 0
    reason: str = ""


class ApiKeyRevoked(Administrative, frozen=True, tag="api_key.revoked"):
    """An API key lets nobody in any more."""

    prefix: str
    owner: str = ""
    reason: str = ""


class StreamTokenMade(Administrative, frozen=True, tag="stream_token.made"):
    """Whoever holds a stream token may follow events from here on: of these jobs or batches, of these types;
    where none is named, of all that the tenant has. `expires` in microseconds since 1970. It ends with what
    made it: `session`, or the API key that `by` names."""

    token: str
    expires: int
    jobs: list[str] = []
    batches: list[str] = []
    types: list[str] = []
    session: str = ""


class StreamTokenRevoked(Administrative, frozen=True, tag="stream_token.revoked"):
    """A stream token opens nothing any more. `token` is its id; whether there was such a one is not known."""

    token: str


class TokenKeyMade(Administrative, frozen=True, tag="token_key.made"):
    """Access tokens are signed by this key soon; those of the key before it count until they expire."""

    key: str
    algorithm: str
    reason: str = ""


JobData: TypeAlias = (
    Submitted
    | Due
    | Started
    | Progressed
    | Output
    | StepCompleted
    | RetryScheduled
    | Snoozed
    | Released
    | LeaseLost
    | CancelRequested
    | Completed
    | Failed
    | Cancelled
    | Requeued
)
AdministrativeData: TypeAlias = (
    QueuePaused
    | QueueDrained
    | QueueResumed
    | AuditRead
    | HoldPlaced
    | HoldLifted
    | RetentionSet
    | SegmentExpired
    | SubjectErased
    | KeyRotated
    | RecordChanged
    | QuotaSet
    | UserAdded
    | UserChanged
    | OrganizationAdded
    | OrganizationChanged
    | LoginAccepted
    | LoginRefused
    | LoginBlocked
    | SessionEnded
    | ApiKeyMade
    | ApiKeyRevoked
    | StreamTokenMade
    | StreamTokenRevoked
    | TokenKeyMade
)
EventData: TypeAlias = JobData | AdministrativeData

#: Event type -> its Struct.
TYPES: Final[dict[str, type[EventData]]] = {
    str(cls.__struct_config__.tag): cls for cls in EventData.__args__
}
TERMINAL: Final = frozenset({"job.completed", "job.failed", "job.cancelled"})


def type_of(data: EventData) -> str:
    """`job.submitted` for a Submitted, and so on."""
    return str(data.__struct_config__.tag)
