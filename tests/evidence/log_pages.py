"""Makes pages of plausible entries, as they come from the log."""

from __future__ import annotations

from collections.abc import Sequence

from triton.events.codec import encode_data
from triton.events.entries import Page, page_of
from triton.events.envelope import FIELDS
from triton.events.types import Completed, Started, Submitted


def page(jobs: Sequence[str], *, after: int = 0, at: int = 1_700_000_000_000_000) -> Page:
    """One entry for each name of a job, a millisecond apart."""
    seen: dict[str, int] = {}
    raw = []
    for index, job in enumerate(jobs):
        seen[job] = version = seen.get(job, 0) + 1
        kind, data = _BY_VERSION[min(version, 3)]
        values = (
            *(kind, job.encode(), b"%d" % version, b"1", b"%d" % (at + 1000 * index), b"worker:w"),
            *(b"", b"", b"", b"default", b"default", b"1", data),
        )
        flat = [part for pair in zip(FIELDS, values, strict=True) for part in pair]
        raw.append((b"%d-0" % (after + 1 + index), flat))
    return page_of(0, after, raw)


_BY_VERSION = {
    1: (b"job.submitted", encode_data(Submitted(actor="a", body=b"{}" * 20))),
    2: (b"job.started", encode_data(Started(worker="w"))),
    3: (b"job.completed", encode_data(Completed(result={"pages": 3}))),
}
