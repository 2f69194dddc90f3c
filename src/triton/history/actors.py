"""Owns which jobs are of wanted actors: an entry does not say it, only its job's `job.submitted` does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeAlias

from triton.errors import DecodeError
from triton.events.entries import Entry, Page
from triton.events.types import TERMINAL, Submitted
from triton.history.filters import JOB, TYPE

#: Answers the actor of each job that is known.
Ask: TypeAlias = Callable[[Collection[str]], Awaitable[dict[str, str]]]

_SUBMITTED: Final = b"job.submitted"
_ENDS: Final = frozenset(name.encode() for name in TERMINAL)


class Actors:
    """Learns from pages in order. Keeps only jobs that have not ended; for others it asks again."""

    def __init__(self, wanted: frozenset[str], ask: Ask) -> None:
        self._wanted = wanted
        self._ask = ask
        self._fits: dict[bytes, bool] = {b"": False}
        self._ended: list[bytes] = []

    async def learn(self, page: Page) -> None:
        """Makes sure that `fits` knows each job of the page."""
        for job in self._ended:
            self._fits.pop(job, None)
        types, jobs = page.columns[TYPE], page.columns[JOB]
        for index, (kind, job) in enumerate(zip(types, jobs, strict=True)):
            if kind == _SUBMITTED:
                self._fits[job] = _actor(page.entry(index)) in self._wanted
        unknown = {job for job in jobs if job not in self._fits}
        if unknown:
            found = await self._ask([job.decode() for job in unknown])
            for job in unknown:
                self._fits[job] = found.get(job.decode()) in self._wanted
        self._ended = [job for kind, job in zip(types, jobs, strict=True) if kind in _ENDS]

    def fits(self, job: bytes) -> bool:
        return self._fits[job]


def _actor(entry: Entry) -> str:
    """Empty where the entry cannot be read."""
    try:
        data = entry.event().data
    except DecodeError:
        return ""
    return data.actor if isinstance(data, Submitted) else ""
