"""Owns which jobs are of wanted actors: an entry does not say it, only its job's `job.submitted` does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final, NamedTuple, TypeAlias

from triton.errors import DecodeError
from triton.events.entries import Entry, Page
from triton.events.envelope import JOB, TYPE
from triton.events.types import TERMINAL, Submitted

#: Answers the actor of each job that is known.
Ask: TypeAlias = Callable[[Collection[str]], Awaitable[dict[str, str]]]

_SUBMITTED: Final = b"job.submitted"
_ENDS: Final = frozenset(name.encode() for name in TERMINAL)


class Told(NamedTuple):
    """What a page says by itself."""

    jobs: frozenset[bytes]
    #: Of those that were submitted in it.
    actors: dict[bytes, str]
    ended: list[bytes]


def told_by(page: Page) -> Told:
    types, jobs = page.columns[TYPE], page.columns[JOB]
    return Told(
        frozenset(jobs),
        {
            job: _actor(page.entry(index))
            for index, (kind, job) in enumerate(zip(types, jobs, strict=True))
            if kind == _SUBMITTED
        },
        [job for kind, job in zip(types, jobs, strict=True) if kind in _ENDS],
    )


class AskedOnce:
    """The same, with a memory for many who ask: a job's actor never changes."""

    def __init__(self, ask: Ask, *, most: int = 10_000) -> None:
        self._ask = ask
        self._most = most
        self._known: dict[str, str] = {}
        self._turn = asyncio.Lock()
        self._read: tuple[Page, Told] | None = None

    def told_by(self, page: Page) -> Told:
        """`told_by`, once for all who look at the same page one after the other."""
        if self._read is None or self._read[0] is not page:
            self._read = page, told_by(page)
        return self._read[1]

    async def __call__(self, jobs: Collection[str]) -> dict[str, str]:
        if any(job not in self._known for job in jobs):
            async with self._turn:
                # Who was before may have asked for the same.
                unknown = [job for job in jobs if job not in self._known]
                found = await self._ask(unknown) if unknown else {}
                if len(self._known) + len(found) > self._most:
                    self._known = {job: self._known[job] for job in jobs if job in self._known}
                self._known.update(found)
        known = self._known
        return {job: known[job] for job in jobs if job in known}


class Actors:
    """Learns from pages in order. Keeps only jobs that have not ended; for others it asks again."""

    def __init__(
        self, wanted: frozenset[str], ask: Ask, read: Callable[[Page], Told] = told_by
    ) -> None:
        self._wanted = wanted
        self._ask = ask
        self._read = read
        self._fits: dict[bytes, bool] = {b"": False}
        self._ended: list[bytes] = []

    async def learn(self, page: Page) -> None:
        """Makes sure that `fits` knows each job of the page."""
        told = self._read(page)
        if unknown := self._look(told):
            found = await self._ask([job.decode() for job in unknown])
            for job in unknown:
                self._fits[job] = found.get(job.decode()) in self._wanted
        self._ended = told.ended

    def learn_alone(self, page: Page) -> bool:
        """The same without asking; False where it has to."""
        told = self._read(page)
        if self._look(told):
            return False
        self._ended = told.ended
        return True

    def _look(self, told: Told) -> frozenset[bytes]:
        """The jobs of which neither the page nor what came before says the actor."""
        for job in self._ended:
            self._fits.pop(job, None)
        for job, actor in told.actors.items():
            self._fits[job] = actor in self._wanted
        return told.jobs - self._fits.keys()

    def fits(self, job: bytes) -> bool:
        return self._fits[job]


def _actor(entry: Entry) -> str:
    """Empty where the entry cannot be read."""
    try:
        data = entry.event().data
    except DecodeError:
        return ""
    return data.actor if isinstance(data, Submitted) else ""
