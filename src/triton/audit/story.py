"""Owns what happened as sentences with positions: events of jobs, and of none. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from triton.causes import Happened, because, caller, cause, who
from triton.events.envelope import Event
from triton.events.render import data_of, rfc3339


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One event as a sentence. `at` is RFC 3339."""

    at: str
    partition: int
    position: int
    type: str
    by: str
    text: str


def happened(event: Event) -> Happened:
    return Happened(
        type=event.type,
        at=event.at,
        position=event.position,
        version=event.version,
        attempt=event.attempt,
        by=event.by,
        causation=event.causation,
        data=data_of(event.data),
    )


def told(event: Event) -> str:
    """One event as a sentence."""
    if event.job:
        return cause(happened(event))
    say = _ADMINISTRATIVE.get(event.type)
    data = data_of(event.data)
    # A queue is held by somebody; what else happens may be Triton's own doing.
    by = caller(event.by) if event.type.startswith("queue.") else who(event.by)
    why = because(data)
    if say is None:
        return f"{event.type} by {by}{why}."
    return f"{by} {say.format(**data)}{_where(event.type, data)}{why}."


def line(event: Event) -> Told:
    return Told(
        at=rfc3339(event.at) or "",
        partition=event.partition,
        position=event.position,
        type=event.type,
        by=event.by,
        text=told(event),
    )


_ADMINISTRATIVE: Final = {
    "queue.paused": "paused queue {queue}",
    "queue.drained": "let queue {queue} take no new jobs",
    "queue.resumed": "opened queue {queue} again",
    "audit.read": "asked the audit: {what}",
    "hold.placed": "placed the legal hold {hold} on {scope} {value}",
    "hold.lifted": "lifted the legal hold {hold} on {scope} {value}",
    "retention.set": "set how long events are kept to {days} days",
    "segment.expired": "let positions {first} to {last} of partition {partition} expire (SHA-256 {sha256})",
    "subject.erased": "destroyed the key of subject {subject}",
    "quota.set": "set what the tenant may use",
    "record.changed": "{change} the {kind} {record} (version {version})",
    "user.added": "made the user {user} ({role})",
    "user.changed": "changed the user {user}: {change}",
    "organization.added": "made the organization {organization}",
    "organization.changed": "let the organization {organization} be {change}",
    "login.accepted": "let the user {user} in (session {session})",
    "login.refused": "refused a login ({why})",
    "login.blocked": "blocked logins of one {of} for {seconds} s",
    "session.ended": "ended the session {session} of the user {user} ({why})",
    "api_key.made": "made the API key {prefix} ({role})",
    "api_key.revoked": "revoked the API key {prefix}",
    "stream_token.made": "made the stream token {token}",
    "stream_token.revoked": "took back the stream token {token}",
    "token_key.made": "made the key {key} for access tokens ({algorithm})",
    "key.rotated": "rotated the signing key from {previous} to {key}, which signs from size {size} on",
}


def _where(kind: str, data: dict[str, Any]) -> str:
    if kind == "audit.read" and data["filter"]:
        return " with " + ", ".join(f"{name}={value}" for name, value in data["filter"].items())
    if kind == "retention.set":
        named = [f"{name} {data[name]}" for name in ("tenant", "queue") if data[name]]
        return f" for {' and '.join(named) or 'everything else'}"
    return ""
