"""Owns `triton submit --bulk`: a file of jobs, one per line, in as few calls as fit."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from triton.bulk import MAX_JOBS
from triton.cli import output
from triton.cli.exits import NO
from triton.client import Client
from triton.errors import NotFoundError, UnavailableError, ValidationError

#: Bytes of lines in one call: what the API takes, and air for what is around them.
MAX_BYTES: Final = 31 * 1024 * 1024
#: Refused lines that are shown.
_SHOWN: Final = 20


class Line(NamedTuple):
    number: int
    json: bytes
    #: Why it cannot be a job; empty where it may be one.
    problem: str = ""


def submit_file(api: Client, file: Path, *, partial: bool, key: str | None, as_json: bool) -> int:
    """Submits every line; answers the exit status. `-` is standard input."""
    parts = parts_of(read_lines(file))
    if not partial:
        parts = iter([_only(file, parts)])
    run = key or f"cli-{uuid.uuid4()}"
    receipts: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        # A part's key is its own, so that a repeat of the whole command finds each job again.
        name = run if number == 0 else f"{run}/{number}"
        try:
            receipts += _submit(api, part, "partial" if partial else "all", name)
        except UnavailableError as error:
            raise UnavailableError(
                f"{error.message} {len(receipts)} jobs were answered; repeat the command with "
                f"--idempotency-key {run} to submit the rest."
            ) from error
    return _show(receipts, as_json=as_json)


def _only(file: Path, parts: Iterator[list[Line]]) -> list[Line]:
    """The one call of a file. Raises ValidationError for more than one, or for a line that is no job."""
    part = next(parts)
    for line in part:
        if line.problem:
            raise ValidationError(f"line {line.number} {line.problem}; nothing was submitted")
    if next(parts, None) is not None:
        raise ValidationError(
            f"{file} has more than {len(part)} jobs, which do not fit into one call, and only one call is "
            "all or nothing: give --partial to submit every line that fits, or split the file"
        )
    return part


def _submit(api: Client, part: list[Line], mode: str, key: str) -> list[dict[str, Any]]:
    """A receipt for each line, in order."""
    good = [line for line in part if not line.problem]
    found: dict[int, dict[str, Any]] = {}
    if good:
        body = {"mode": mode, "jobs": [msgspec.Raw(line.json) for line in good]}
        try:
            reply = api.post("/jobs/bulk", body, headers={"Idempotency-Key": key}, repeats=3)
        except ValidationError as error:
            raise _by_line(error, good) from error
        found = dict(zip((line.number for line in good), reply["jobs"], strict=True))
    return [{**found.get(line.number, _refused(line)), "line": line.number} for line in part]


def _refused(line: Line) -> dict[str, Any]:
    error = {"code": "malformed", "message": line.problem, "fields": []}
    return {"id": "", "status": "rejected", "error": error}


def read_lines(file: Path) -> Iterator[Line]:
    """The lines of the file that are not blank."""
    if str(file) == "-":
        yield from _lines(sys.stdin.buffer)
        return
    with file.open("rb") as opened:
        yield from _lines(opened)


def _lines(opened: Iterable[bytes]) -> Iterator[Line]:
    for number, text in enumerate(opened, 1):
        line = text.strip()
        if line:
            yield Line(number, line, _problem(line))


def _problem(line: bytes) -> str:
    try:
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f'is no JSON object like {{"actor": "mail.send", "args": [1]}}: {error}'
    return ""


def parts_of(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """The lines in calls. Raises NotFoundError where there is none."""
    part: list[Line] = []
    size = 0
    some = False
    for line in lines:
        if part and (len(part) == MAX_JOBS or size + len(line.json) + 2 > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line.json) + 2
        some = True
    if not some:
        raise NotFoundError("the file has no jobs: write one JSON object per line")
    yield part


def _by_line(error: ValidationError, part: list[Line]) -> ValidationError:
    """The API's refusal of all, with the file's line numbers."""
    items = error.details.get("items")
    if not items:
        return error
    said = "; ".join(f"line {part[item['index']].number}: {item['message']}" for item in items[:3])
    count = error.details["rejected"]
    more = f"; and {count - 3} more" if count > 3 else ""
    return ValidationError(
        f"{count} of {len(part)} jobs do not fit, so none was submitted: {said}{more}",
        **error.details,
    )


def _show(receipts: list[dict[str, Any]], *, as_json: bool) -> int:
    receipts = [{**receipt, "index": index} for index, receipt in enumerate(receipts)]
    kinds = {"accepted": 0, "exists": 0, "rejected": 0}
    for receipt in receipts:
        kinds[receipt["status"]] += 1
    if as_json:
        counts = {"accepted": kinds["accepted"], "existing": kinds["exists"]}
        output.document({**counts, "rejected": kinds["rejected"], "jobs": receipts})
    else:
        known = f", {kinds['exists']} submitted before" if kinds["exists"] else ""
        refused = f", {kinds['rejected']} refused" if kinds["rejected"] else ""
        output.line(f"{kinds['accepted']} accepted{known}{refused}")
        rejected = [receipt for receipt in receipts if receipt["status"] == "rejected"]
        for receipt in rejected[:_SHOWN]:
            output.warn(f"line {receipt['line']}: {receipt['error']['message']}")
        if len(rejected) > _SHOWN:
            output.warn(f"and {len(rejected) - _SHOWN} more; --json has all")
    return NO if kinds["rejected"] else 0
