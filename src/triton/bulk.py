"""Owns submitting many jobs at once: a receipt for each, and the chunks in which they go to the log. Pure.

What is all-or-nothing is the check: every job is checked before the first is submitted. Each chunk is one
atomic step, all of them together are not: who lost the answer repeats the call, with the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from triton import keys
from triton.errors import TritonError, ValidationError
from triton.events.scripts import CHUNK
from triton.events.submission import Submission
from triton.verdict import verdict_of

#: Jobs in one call at most.
MAX_JOBS: Final = 10_000
#: Bytes of messages that one script call takes, besides its first job: bounds how long it holds the server.
MAX_CHUNK_BYTES: Final = 256 * 1024
#: Refused jobs that an error names; it counts all of them.
MAX_NAMED: Final = 100

Mode: TypeAlias = Literal["all", "partial"]
Status: TypeAlias = Literal["accepted", "exists", "rejected"]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job was not submitted, as the error of a single one says it; `fields` are `{"field", "message"}`
    where known."""

    code: str
    message: str
    fields: list[dict[str, str]] = []


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one job of many.

    `exists`: this id was submitted before, and is left as it is. `rejected`: see `error`; its id is empty.
    """

    #: Its place in the call, from 0.
    index: int
    id: str
    status: Status
    error: Refusal | None = None


def refused(index: int, error: TritonError) -> Receipt:
    """The receipt of a job that does not fit."""
    fields = list(error.details.get("fields", ()))
    reason = Refusal(code=error.code, message=error.message, fields=fields)
    return Receipt(index=index, id="", status="rejected", error=reason)


def existing(index: int, job: str) -> Receipt:
    """The receipt of a job that was there before."""
    return Receipt(index=index, id=job, status="exists")


def receipt_of(index: int, submission: Submission, answer: str) -> Receipt:
    """The receipt by the log's answer."""
    try:
        job, known = verdict_of(submission, answer)
    except TritonError as error:
        return refused(index, error)
    return Receipt(index=index, id=job, status="exists" if known else "accepted")


def nothing_submitted(rejected: Sequence[Receipt], total: int) -> ValidationError:
    """The error of a call in mode `all` of which some jobs do not fit.

    `details`: `rejected` counts them; `items` are the first MAX_NAMED as `{"index", "message", "fields"}`;
    `fields` are theirs, named `jobs[INDEX].FIELD`.
    """
    items: list[dict[str, Any]] = []
    fields: list[dict[str, str]] = []
    for receipt in rejected[:MAX_NAMED]:
        error = receipt.error or Refusal(code="", message="")
        items.append({"index": receipt.index, "message": error.message, "fields": error.fields})
        place = f"jobs[{receipt.index}]"
        for field in error.fields or [{"field": "", "message": error.message}]:
            name = ".".join(part for part in (place, field["field"]) if part)
            fields.append({"field": name, "message": field["message"]})
    named = "; ".join(f"{field['field']}: {field['message']}" for field in fields[:3])
    more = f"; and {len(rejected) - 3} more" if len(rejected) > 3 else ""
    return ValidationError(
        f"{len(rejected)} of {total} jobs do not fit, so none was submitted: {named}{more}",
        rejected=len(rejected),
        items=items,
        fields=fields,
    )


def waves(
    submissions: Sequence[Submission], partitions: int
) -> Iterator[list[tuple[int, list[int]]]]:
    """The order in which submissions go: each wave is one round trip with a chunk for each partition, as
    `(partition, places in submissions)`. Jobs of a partition keep their order."""
    chunks: list[list[list[int]]] = [[] for _ in range(partitions)]
    bytes_of_last = [0] * partitions
    for place, submission in enumerate(submissions):
        partition = keys.partition_of(submission.job, partitions)
        of_partition = chunks[partition]
        size = len(submission.body)
        if (
            not of_partition
            or len(of_partition[-1]) == CHUNK
            or bytes_of_last[partition] + size > MAX_CHUNK_BYTES
        ):
            of_partition.append([])
            bytes_of_last[partition] = 0
        of_partition[-1].append(place)
        bytes_of_last[partition] += size
    for number in range(max(len(of_partition) for of_partition in chunks)):
        yield [
            (partition, of_partition[number])
            for partition, of_partition in enumerate(chunks)
            if number < len(of_partition)
        ]
