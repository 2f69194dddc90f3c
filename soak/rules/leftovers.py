"""Owns the rules of what may be left in the server: each key has an owner, heads are true. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from soak.evidence import Evidence, Key
from soak.rules.lives import ENDS, states
from triton import keys
from triton.events.envelope import Event
from triton.events.heads import born_of, head_of

#: Keys that live as long as the log.
LASTING: Final = {
    "log": "stream",
    "meta": "hash",
    "actors": "hash",
    "queues": "set",
    "signatures": "hash",
    "terms": "hash",
    "checks": "hash",
    "troubles": "hash",
}
#: What an operator said of queues: until the same is taken back.
OPERATORS: Final = {"held": "hash"}
#: Sorted sets of a queue -> the state of the jobs in them.
QUEUES: Final = {"ready": "pending", "due": "scheduled", "leases": "processing"}


#: The states of a job that may expire.
WAITING: Final = ("scheduled", "pending")


def no_key_without_owner(evidence: Evidence) -> Iterator[str]:
    if evidence.keys is None:
        return
    ends = _ends(evidence)
    prefixes = {keys.prefix(evidence.namespace, p): p for p in range(evidence.partitions)}
    for name, key in evidence.keys.items():
        prefix = name[: name.find("}:") + 2]
        if prefix not in prefixes:
            yield f"{name} ({key.type}) is outside of the namespace"
            continue
        kind, _, owner = name.removeprefix(prefix).partition(":")
        if (expected := {**LASTING, **OPERATORS}.get(kind)) and not owner:
            if key.type != expected:
                yield f"{name} is a {key.type}, expected a {expected}"
        elif objection := _objection(evidence, ends, kind, owner, key):
            yield f"{name} ({key.type}, ttl {key.ttl}) {objection}"


def _ends(evidence: Evidence) -> dict[str, str]:
    """The state of each job after its last event."""
    return {job: list(states(events))[-1][2] for job, events in evidence.jobs.items()}


def _objection(  # noqa: C901
    evidence: Evidence, ends: dict[str, str], kind: str, owner: str, key: Key
) -> str:
    state = ends.get(owner, "")
    match kind:
        case "job" | "body" if not state:
            return "belongs to a job that the log does not know"
        case "job" | "body" if state in ENDS and key.ttl < 0:
            return f"belongs to a job that is {state}, and stays for ever"
        case "job" | "body" if state not in ENDS and key.ttl >= 0:
            return f"belongs to a job that is {state}, and goes away"
        case "body" if state == "completed":
            return "is the message of a job that completed"
        case "job" | "body":
            return ""
        case "unique":
            live = ends.get(str(key.content), "")
            return (
                "" if live and (live not in ENDS or key.ttl >= 0) else f"is held by {key.content}"
            )
        case "expires":
            wrong = [m.decode() for m, _ in key.content if ends.get(m.decode()) not in WAITING]
            return f"holds {', '.join(wrong)}" if wrong else ""
        case "steps":
            return "" if state and state not in ENDS else f"belongs to a job that is {state}"
        case "ready" | "due" | "leases":
            wrong = [
                f"{member.decode()} ({ends.get(member.decode(), 'unknown')})"
                for member, _ in key.content
                if ends.get(member.decode()) != QUEUES[kind]
            ]
            return f"holds {', '.join(wrong)}" if wrong else ""
        case "bell":
            return "" if key.content == 1 else f"holds {key.content} rings"
        case "claim":
            return "" if 0 <= key.ttl <= 4 * evidence.lease_ms else "outlives its worker"
        case _:
            return _objection_to_terms(evidence, ends, kind, key)


def _objection_to_terms(evidence: Evidence, ends: dict[str, str], kind: str, key: Key) -> str:
    """The same for what jobs, workers and people leave beside the queues."""
    match kind:
        case "expires":
            wrong = [
                f"{member.decode()} ({ends.get(member.decode(), 'unknown')})"
                for member, _ in key.content
                if ends.get(member.decode()) not in ("pending", "scheduled")
            ]
            return f"holds {', '.join(wrong)}" if wrong else ""
        case "unique":
            holder = ends.get(key.content.decode() if key.content else "", "")
            lives = holder not in ("", *ENDS)
            return (
                "" if lives or key.ttl >= 0 else f"is held by a job that is {holder or 'unknown'}"
            )
        case "group":
            return "" if key.ttl >= 0 else "stays for ever"
        case "worker" | "workers":
            return "" if 0 <= key.ttl <= evidence.lease_ms else "outlives its worker"
        case "held":
            return ""
        case _:
            return "has no owner"


def heads_equal_the_fold(evidence: Evidence) -> Iterator[str]:
    if evidence.keys is None:
        return
    for job, events in evidence.jobs.items():
        partition = keys.partition_of(job, evidence.partitions)
        prefix = keys.prefix(evidence.namespace, partition)
        head = evidence.keys.get(keys.job(prefix, job))
        last, _, state = list(states(events))[-1]
        since_ms = (evidence.read_at - last.at) / 1000
        may_leave = state in ENDS and since_ms >= evidence.result_ms
        if head is None:
            if not may_leave:
                yield f"{job} is {state}, and has no head"
            continue
        yield from _compared(job, head.content, last, state)
        # Head and message go at the same time, which may be between the two looks.
        if state != "completed" and not 0 <= head.ttl <= evidence.looked_ms:
            own = keys.body(prefix, job) in evidence.keys
            yield from _message_is_there(head.content, events[0], own=own)
        for kind, of in QUEUES.items():
            queued = evidence.keys.get(f"{prefix}{kind}:{last.queue}")
            members = {member for member, _ in queued.content} if queued else set()
            if (job.encode() in members) != (state == of):
                there = "is" if job.encode() in members else "is not"
                yield f"{job} is {state}, and {there} in {kind}:{last.queue}"


def _message_is_there(head: dict[bytes, bytes], first: Event, *, own: bool) -> Iterator[str]:
    born = born_of(head)
    if born.own_body != own:
        there = "one" if own else "none"
        yield f"the head of {first.job} says own_body {born.own_body}, and there is {there}"
    elif not own and born.position != first.position:
        yield f"the head of {first.job} says born at {born.position}, not at {first.position}"


def _compared(job: str, head: dict[bytes, bytes], last: Event, state: str) -> Iterator[str]:
    found = head_of(job, last.partition, head)
    expected = {
        "state": state,
        "version": last.version,
        "attempt": last.attempt,
        "position": last.position,
        "queue": last.queue,
    }
    for field, value in expected.items():
        if getattr(found, field) != value:
            yield f"the head of {job} says {field} {getattr(found, field)}, the log says {value}"
