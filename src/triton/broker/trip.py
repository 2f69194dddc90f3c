"""Owns what one round trip of a worker process holds: reports, outcomes and claims, as script calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, TypeVar

from triton.broker.proxy import JobProxy
from triton.events.replies import ClaimReply, claimed
from triton.events.scripts import CHUNK, Call, Packed, Scripts

T = TypeVar("T")
_TAKEN: Final = frozenset((b"ok", b"already"))


class Report(NamedTuple):
    job: str
    packed: Packed
    #: Where somebody waits for it: gets the script's answer, or why there is none.
    receipt: Future[str] | None = None


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
        self._spoken = list(grouped(spoken, lambda report: prefix_of(report.job)))
        self.calls = [
            scripts.report(prefix, [report.packed for report in group])
            for prefix, group in self._spoken
        ]
        self._first_outcome = len(self.calls)
        self._finished = list(grouped(finished, lambda each: prefix_of(each.proxy.claimed.job)))
        self.calls += [
            scripts.finish(prefix, [each.outcome for each in group])
            for prefix, group in self._finished
        ]
        self._first_claim = len(self.calls)
        self.calls += claims

    def give_receipts(self, replies: Sequence[Any] | None) -> None:
        """Tell who waits for a report what became of it; None: the server never answered."""
        for index, (_, group) in enumerate(self._spoken):
            reply = [b"stale"] * len(group) if replies is None else replies[index]
            for number, report in enumerate(group):
                if report.receipt is not None:
                    refused = isinstance(reply, Exception)
                    report.receipt.set_result(str(reply) if refused else reply[number].decode())

    def refused(self, replies: Sequence[Any]) -> Iterator[tuple[Finished, str]]:
        """The outcomes that were not taken, with the script's answer."""
        outcomes = replies[self._first_outcome : self._first_claim]
        for (_, group), reply in zip(self._finished, outcomes, strict=True):
            if isinstance(reply, Exception):
                yield from ((each, str(reply)) for each in group)
                continue
            for each, answer in zip(group, reply, strict=True):
                if answer not in _TAKEN:
                    yield each, answer.decode()

    def claimed(self, replies: Sequence[Any]) -> list[ClaimReply]:
        """What each claim got; a claim that the server refused got nothing."""
        return [
            ClaimReply(None, []) if isinstance(reply, Exception) else claimed(reply)
            for reply in replies[self._first_claim :]
        ]


def grouped(
    items: Sequence[T], key: Callable[[T], str], size: int = CHUNK
) -> Iterator[tuple[str, list[T]]]:
    """Items by key in groups of `size` at most, keys in the order of their first item."""
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    for name, group in groups.items():
        for start in range(0, len(group), size):
            yield name, group[start : start + size]
