"""Owns what PostgreSQL and ClickHouse must have of a history: segments as archived, and all its positions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from triton.audit.statements import sql
from triton.events.log import Log
from triton.postgres import Connection
from triton.verifier.triton_verify import INCOMPLETE, TAMPERED, Finding, Report


class Row(NamedTuple):
    """A segment as PostgreSQL knows it."""

    partition: int
    epoch: str
    first: int
    last: int
    manifest_sha256: str
    #: `sealed` for one that is to be there.
    state: str
    #: Whether nobody reads it any more.
    expired: bool
    #: What its manifest says too.
    key: str
    size: int
    sha256: str
    root: str
    first_at: int
    last_at: int


#: What readers go by, and the manifest says.
_SAID: Final = ("key", "size", "sha256", "root", "first_at", "last_at")


async def segment_rows(connection: Connection) -> list[Row]:
    """Read them before the archive: what is sealed meanwhile is in the archive first."""
    cursor = await connection.execute(sql("proof_segments"))
    return [Row(*row) for row in await cursor.fetchall()]


def compare_rows(
    report: Report, namespace: str, rows: Sequence[Row], *, partly: bool = False
) -> None:
    """Each sealed one must have its manifest in the archive, say the same, and be readable unless an event
    declares that it expired; and PostgreSQL must know each that is there. It tells all readers where to look.

    Where records were read `partly`, not all such events are known.
    """
    trees = {(each.partition, each.epoch): each for each in report.trees}
    for row in rows:
        if row.state != "sealed":
            continue
        path = f"{namespace}/{row.partition}/{row.epoch}"
        found = trees.get((row.partition, row.epoch))
        held = found.manifests.get((row.first, row.last)) if found else None
        if found and held == row.manifest_sha256:
            declared = partly or row.last <= found.declared
            if text := _differs(row, found.described[row.first, row.last], declared=declared):
                report.findings.append(Finding(TAMPERED, path, row.first, row.last, text))
            continue
        if held is None and _is_known(report, path, row.first):
            continue
        verdict = INCOMPLETE if held is None else TAMPERED
        what = "is not in the archive" if held is None else "is another one in the archive"
        text = (
            f"the manifest of the segment {row.first} to {row.last}, which PostgreSQL names, {what}"
        )
        report.findings.append(Finding(verdict, path, row.first, row.last, text))
    for (partition, epoch), tree in trees.items():
        known = {
            (row.first, row.last)
            for row in rows
            if (row.partition, row.epoch) == (partition, epoch)
        }
        # What was sealed since the rows were read is no finding.
        newest = max((last for _, last in known), default=0)
        for first, last in sorted(tree.manifests):
            if last <= newest and (first, last) not in known:
                text = (
                    f"PostgreSQL does not know the segment {first} to {last}, which is in the archive: an "
                    "archiver makes its row again when it starts"
                )
                path = f"{namespace}/{partition}/{epoch}"
                report.findings.append(Finding(INCOMPLETE, path, first, last, text))


def _differs(row: Row, manifest: dict[str, Any], *, declared: bool) -> str:
    """What PostgreSQL says of a segment and should not; empty for nothing."""
    for name in _SAID:
        if getattr(row, name) != manifest[name]:
            return (
                f"PostgreSQL says {name} {getattr(row, name)!r} of the segment {row.first} to {row.last}, "
                f"its manifest {manifest[name]!r}: readers go by PostgreSQL"
            )
    if row.expired and not declared:
        return (
            f"PostgreSQL says that the segment {row.first} to {row.last} expired, and no event of the log "
            "does: nobody can read it"
        )
    return ""


def _is_known(report: Report, path: str, position: int) -> bool:
    """Whether there is a finding already about what lies there or before."""
    return any(each.log == path and each.position <= position for each in report.findings)


class Count(NamedTuple):
    """How many positions a store has of a partition, up to its checkpoint, of those that did not expire."""

    store: str
    partition: int
    events: int
    expected: int


async def count_stores(
    report: Report, connection: Connection, clickhouse: Any, log: Log
) -> list[Count]:
    """Counts the distinct positions of both stores; what is missing is added to the report."""
    cursor = await connection.execute(sql("proof_checkpoints"))
    counts = []
    for store, partition, position, parked, expired in await cursor.fetchall():
        values = {"partition": partition, "position": position, "expired": expired}
        if store == "postgres":
            rows = await connection.execute(sql("proof_count"), values)
            found = await rows.fetchall()
        else:
            query = sql("proof_count_clickhouse").decode()
            result = await asyncio.to_thread(clickhouse.query, query, parameters=values)
            found = result.result_rows
        expected = max(0, position - expired) - parked
        counts.append(Count(store, partition, found[0][0], expected))
        if counts[-1].events != counts[-1].expected:
            path = f"{log.namespace}/{partition}/{log.epochs[partition]}"
            text = (
                f"{store} has {counts[-1].events} events up to position {position}, expected "
                f"{counts[-1].expected}: `triton verify` names them"
            )
            report.findings.append(Finding(INCOMPLETE, path, 0, 0, text))
    return counts
