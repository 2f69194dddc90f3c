"""Owns what one round trip of a worker process holds: reports, outcomes and claims, as script calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from triton.broker.proxy import JobProxy
from triton.events.scripts import Call, ClaimReply, Packed, Scripts, answers, claimed

T = TypeVar("T")


class Report(NamedTuple):
    job: str
    packed: Packed


class Finished(NamedTuple):
    """An attempt's outcome on its way to the log, with the reports that go before it."""

    proxy: JobProxy
    outcome: Packed
    reports: tuple[Report, ...] = ()


class Claim(NamedTuple):
    """One partition's claim: free slots, shared out, under an operation id of its own."""

    prefix: str
    op: str
    queues: list[str]
    limit: int


class Trip:
    """The calls of one round trip, in the order in which they must run."""

    def __init__(
        self,
        scripts: Scripts,
        prefix_of: Callable[[str], str],
        *,
        reports: Sequence[Report],
        finished: Sequence[Finished],
        claims: Sequence[Call],
    ) -> None:
        spoken = [report for each in finished for report in each.reports]
        spoken += reports
        self._reports = list(grouped(spoken, lambda r: prefix_of(r.job)))
        self._finished = list(grouped(finished, lambda f: prefix_of(f.proxy.claimed.job)))
        self.calls = [
            scripts.report(prefix, [r.packed for r in group]) for prefix, group in self._reports
        ]
        self.calls += [
            scripts.finish(prefix, [f.outcome for f in group]) for prefix, group in self._finished
        ]
        self.calls += claims

    def refused(self, replies: Sequence[Any]) -> Iterator[tuple[Finished, str]]:
        """The outcomes that were not taken, with the script's answer."""
        first = len(self._reports)
        for (_, group), reply in zip(self._finished, replies[first:], strict=False):
            if isinstance(reply, Exception):
                yield from ((each, str(reply)) for each in group)
                continue
            for each, answer in zip(group, answers(reply), strict=True):
                if answer not in ("ok", "already"):
                    yield each, answer

    def claimed(self, replies: Sequence[Any]) -> list[ClaimReply]:
        """What each claim got; a claim that the server refused got nothing."""
        first = len(self._reports) + len(self._finished)
        return [
            ClaimReply(None, []) if isinstance(reply, Exception) else claimed(reply)
            for reply in replies[first:]
        ]


def grouped(items: Sequence[T], key: Callable[[T], str]) -> Iterator[tuple[str, list[T]]]:
    """Items by key, keys in the order of their first item."""
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    yield from groups.items()
