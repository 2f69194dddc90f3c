"""Owns which entries of the log are wanted: by columns of a page, not entry by entry. Pure.

An entry does not say its job's actor: only `job.submitted` does. Who filters by actor hands in what tells
it; see `triton.history.actors`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Final

import msgspec

from triton.events.entries import Page
from triton.events.envelope import CORRELATION, JOB, QUEUE, TENANT, TYPE


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that fit all that is given; None does not filter, a set means any of it."""

    jobs: frozenset[str] | None = None
    tenants: frozenset[str] | None = None
    queues: frozenset[str] | None = None
    actors: frozenset[str] | None = None
    #: Such as `job.completed`.
    types: frozenset[str] | None = None
    #: What the job belongs to; a job that belongs to nothing has its own id.
    correlations: frozenset[str] | None = None

    @property
    def empty(self) -> bool:
        """Whether everything fits."""
        return self == ALL

    def mask(self, page: Page, actors: Callable[[bytes], bool] | None = None) -> list[bool]:
        """For each entry whether it fits. `actors` says of a job whether its actor does."""
        mask = [True] * page.size
        for index, wanted in (
            (JOB, self.jobs),
            (TENANT, self.tenants),
            (QUEUE, self.queues),
            (TYPE, self.types),
        ):
            if wanted is not None:
                mask = _both(mask, page.columns[index], _encoded(wanted).__contains__)
        if self.correlations is not None:
            belongs = [
                to or job
                for to, job in zip(page.columns[CORRELATION], page.columns[JOB], strict=True)
            ]
            mask = _both(mask, belongs, _encoded(self.correlations).__contains__)
        if self.actors is not None and actors is not None:
            mask = _both(mask, page.columns[JOB], actors)
        return mask


#: Fits everything.
ALL: Final = Filter()


def only(page: Page, mask: Sequence[bool]) -> Page:
    """The entries of a page that a mask leaves."""
    if all(mask):
        return page
    columns = [list(compress(column, mask)) for column in page.columns]
    return Page(page.partition, list(compress(page.positions, mask)), columns)


def _both(
    mask: Sequence[bool], column: Sequence[bytes], fits: Callable[[bytes], bool]
) -> list[bool]:
    return [keep and fits(value) for keep, value in zip(mask, column, strict=True)]


def _encoded(texts: frozenset[str]) -> frozenset[bytes]:
    return frozenset(text.encode() for text in texts)
