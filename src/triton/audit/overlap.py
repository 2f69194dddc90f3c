"""Owns comparing what Redis still holds of what is sealed with the archive: readers ask Redis first."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from triton.archive import ArchiveStore
from triton.events.entries import page_of
from triton.evidence import segment
from triton.history.whole import WholeLog
from triton.verifier.triton_verify import TAMPERED, Finding, Report, TreeReport

_PAGE: Final = 5000


async def compare_live(
    report: Report, archive: ArchiveStore, log: WholeLog, found: TreeReport
) -> None:
    """Adds the first entry in Redis that is not the one that was sealed. What left Redis, or was deleted
    there, is read from the archive by everybody, so it is no finding.

    Raises EvidenceError, ForeignEntryError, UnavailableError.
    """
    first = await log.first_live(found.partition)
    for (begin, last), said in sorted(found.described.items()):
        if not 0 < first <= last or not said["stored"]:
            continue
        at = await _differs(archive, log, found.partition, said, max(begin, first))
        if at:
            text = (
                f"Redis holds another event at position {at} than was sealed: who reads it now is shown "
                "that one"
            )
            report.findings.append(Finding(TAMPERED, found.path, at, at, text))
            return


async def _differs(
    archive: ArchiveStore, log: WholeLog, partition: int, said: dict[str, Any], position: int
) -> int:
    """The first position of a segment, from one on, where Redis has something else; 0 for none."""
    data = await asyncio.to_thread(archive.read, said["key"])
    sealed = await asyncio.to_thread(lambda: list(segment.read_all(data)))
    begin, last = said["first_position"], said["last_position"]
    while position <= last:
        raw = await log.live(partition, position - 1, last, _PAGE, again=True)
        if raw is None:
            position = max(position + 1, await log.first_live(partition))
            continue
        if not raw:
            return 0
        page = page_of(partition, position - 1, raw)
        for record in segment.records_of(page):
            if record != sealed[position - begin]:
                return position
            position += 1
    return 0
