"""Owns the comparison of two accounts of the same job. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from triton.retroactive.account import Account, Recorded

#: What is compared. How long it took is shown, and no difference.
FIELDS: Final = ("outcome", "result", "messages", "steps", "output", "progress")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that came out otherwise."""

    field: str
    was: Any
    is_: Any = msgspec.field(name="is")


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One job, as it went and as it goes now. Seconds are of the attempt."""

    job: str
    was: str
    is_: str = msgspec.field(name="is")
    seconds_was: float
    seconds_is: float
    #: What it raised now, or what became of its process.
    said: str = ""
    changes: list[Change]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler made of its recorded inputs. `problem`: why it could not be tried at all."""

    handler: str
    actor: str = ""
    problem: str = ""
    #: How tight the process was closed off.
    closed: str = ""
    jobs: list[Compared] = []
    #: Chosen jobs that cannot be compared, by why.
    skipped: dict[str, int] = {}

    @property
    def differing(self) -> int:
        return sum(1 for job in self.jobs if job.changes)

    def changed(self) -> dict[str, int]:
        """In how many jobs each field came out otherwise."""
        return dict(Counter(change.field for job in self.jobs for change in job.changes))

    def outcomes(self) -> dict[str, int]:
        """How many jobs went from which outcome to which."""
        return dict(Counter(f"{job.was} -> {job.is_}" for job in self.jobs))

    def seconds(self) -> tuple[float, float]:
        """Of all attempts together: as it was, as it is."""
        return sum(job.seconds_was for job in self.jobs), sum(job.seconds_is for job in self.jobs)


def compared(recorded: Recorded, now: Account, ignored: Collection[str] = ()) -> Compared:
    """Both accounts, with each field that differs and is not ignored."""
    was = recorded.account
    changes = [
        Change(field=name, was=before, is_=after)
        for name, before, after in _pairs(was, now)
        if name not in ignored and _differ(before, after)
    ]
    return Compared(
        job=recorded.task.job,
        was=outcome(was),
        is_=outcome(now),
        seconds_was=was.seconds,
        seconds_is=now.seconds,
        said=now.message,
        changes=changes,
    )


def outcome(account: Account) -> str:
    """In a word or two: the state, and the class of the error."""
    return f"{account.state} {account.error}".rstrip()


def _pairs(was: Account, now: Account) -> list[tuple[str, Any, Any]]:
    pairs: list[tuple[str, Any, Any]] = [("outcome", outcome(was), outcome(now))]
    if now.state in ("crashed", "hung"):
        # Whatever it had said by then is lost with its process.
        return pairs
    if was.state == now.state == "completed":
        pairs.append(("result", _result(was), _result(now)))
    pairs += [
        ("messages", _messages(was), _messages(now)),
        ("steps", was.steps, now.steps),
        ("output", was.output, now.output),
        ("progress", _list(was.progress), _list(now.progress)),
    ]
    return pairs


def _differ(before: Any, after: Any) -> bool:
    # NaN is not equal to itself, and came out as it was.
    return bool(before != after) and msgspec.json.encode(before) != msgspec.json.encode(after)


def _result(account: Account) -> Any:
    return {"omitted": True} if account.omitted else account.result


def _messages(account: Account) -> list[Any]:
    """In an order of their own: threads may send in any."""
    plain = [msgspec.to_builtins(sent) for sent in account.sent]
    return sorted(plain, key=lambda one: msgspec.json.encode(one, order="deterministic"))


def _list(progress: Sequence[Any] | None) -> list[Any] | None:
    return None if progress is None else list(progress)
