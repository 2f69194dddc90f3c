"""Owns the actor `documents.extract`: one uploaded document in, its structure in the archive out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dramatiq
import msgspec

import triton
from triton.archive import Stored
from triton.documents import repository
from triton.documents.repository import Document
from triton.documents.resources import Resources, resources
from triton.errors import DecodeError, NotFoundError
from triton.extraction import Extraction, ExtractionError, Heading, Limits, Table, extract

#: Milliseconds; the extraction stops itself before, with a reason.
TIME_LIMIT = 600_000
#: What the summary shows of a long document: the whole is in the archive.
SUMMARY_HEADINGS = 20
SUMMARY_CHARACTERS = 200
#: Lines of output for one document.
MAX_FINDINGS = 500


@dramatiq.actor(
    actor_name="documents.extract",
    queue_name="documents",
    max_retries=3,
    throws=(ExtractionError, NotFoundError),
    time_limit=TIME_LIMIT,
)
def extract_document(*, document: str) -> dict[str, Any]:
    """Extracts the uploaded document with this id and returns the summary; see `summary`.

    Fails without a retry when the document itself is the reason (ExtractionError) or is not there for
    the job's tenant (NotFoundError). May run again after a crash: what it stores is the same.
    """
    job = triton.current_job()
    shared = resources()
    with shared.connection() as connection:
        row = repository.get(connection, document, tenant=job.tenant)
    job.output(f"reading {row.filename} ({row.size} bytes)\n")
    found = _extract(row, shared, job)
    for name in ("mismatch", "unreadable_pages"):
        if name in found.metadata:
            job.output(f"{name.replace('_', ' ')}: {found.metadata[name]}\n")
    stored = shared.archive.put_content(msgspec.json.encode(found))
    _keep_lineage(row, found, shared, job)
    return summary(row, found, stored)


def summary(document: Document, found: Extraction, stored: Stored) -> dict[str, Any]:
    """The job's result: plain values, small enough for the log. `result_key` names the whole.

    `headings` holds the first 20; how many there are in all is `headings_total`, `tables` is a number.
    """
    return {
        "document": document.id,
        "filename": document.filename,
        "title": found.title[:SUMMARY_CHARACTERS],
        "media_type": found.media_type,
        "metadata": found.metadata,
        **msgspec.structs.asdict(found.statistics),
        "headings": [
            {
                "level": heading.level,
                "text": heading.text[:SUMMARY_CHARACTERS],
                "page": heading.page,
            }
            for heading in found.headings[:SUMMARY_HEADINGS]
        ],
        "headings_total": len(found.headings),
        "extractors": {row.extractor: row.version for row in found.lineage},
        "result_key": stored.key,
        "result_sha256": stored.sha256,
        "result_size": stored.size,
    }


def finding_line(finding: Heading | Table) -> str:
    """What the output says of a heading or table."""
    if isinstance(finding, Heading):
        return f"page {finding.page}: {'#' * finding.level} {finding.text[:SUMMARY_CHARACTERS]}\n"
    columns = max((len(row) for row in finding.rows), default=0)
    return f"page {finding.page}: table of {len(finding.rows)} rows and {columns} columns\n"


def _extract(row: Document, shared: Resources, job: triton.Job) -> Extraction:
    findings = 0

    def on_finding(finding: Heading | Table) -> None:
        nonlocal findings
        findings += 1
        if findings <= MAX_FINDINGS:
            job.output(finding_line(finding))
        elif findings == MAX_FINDINGS + 1:
            job.output(f"more than {MAX_FINDINGS} headings and tables; the rest is in the result\n")

    def on_page(done: int, total: int) -> None:
        job.progress(100.0 * done / max(done, total), f"page {done} of {total}")
        if job.cancelled:
            raise triton.CancelRequested

    with shared.archive.open(row.archive_key) as stream:
        try:
            found = extract(
                stream,
                filename=row.filename,
                media_type=row.media_type,
                on_page=on_page,
                on_finding=on_finding,
                limits=Limits(max_seconds=TIME_LIMIT / 1000 / 2),
            )
        except ExtractionError as error:
            # The reason is the document; what a library raised on the way helps nobody.
            raise error.with_traceback(None) from None
    if found.statistics.sha256 != row.sha256:
        raise DecodeError(
            f"The archive gave other bytes for document {row.id}: SHA-256 {found.statistics.sha256}, "
            f"expected {row.sha256}; check {row.archive_key} in the archive.",
            document=row.id,
        )
    return found


def _keep_lineage(row: Document, found: Extraction, shared: Resources, job: triton.Job) -> None:
    with shared.connection() as connection:
        repository.add_lineage(
            connection,
            found.lineage,
            tenant=row.tenant,
            document=row.id,
            document_sha256=found.statistics.sha256,
            job=job.id,
            attempt=job.attempt,
            at=datetime.now(UTC),
        )
