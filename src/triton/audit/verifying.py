"""Owns `triton audit verify`: the archive as triton-verify checks it, and the live log against it.

The live log must go on from the last segment to the signed heads. What the stores have is compared in
`triton.audit.counting`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

import msgspec
import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from triton.archive import ArchiveStore
from triton.audit.overlap import compare_live
from triton.errors import EvidenceError, HoleError, NotFoundError
from triton.events.envelope import TYPE
from triton.events.log import Log
from triton.evidence import columns, segment, tree
from triton.evidence.tree import Frontier
from triton.history.whole import WholeLog
from triton.verifier import triton_verify
from triton.verifier.triton_verify import (
    INCOMPLETE,
    TAMPERED,
    UNKNOWN,
    BadDataError,
    Finding,
    Head,
    Key,
    Options,
    Report,
    TreeReport,
)

_PAGE: Final = 5000


def unpack(frame: bytes) -> bytes:
    """A block's records behind their lengths, by libraries: what takes the verifier's own reader long."""
    try:
        block = zstandard.ZstdDecompressor().decompress(
            frame, max_output_size=triton_verify.FRAME_MAX
        )
        if not columns.by_columns(block):
            return block
        records = columns.unpack(block)
    except zstandard.ZstdError as error:
        raise BadDataError(f"zstd: {error}") from error
    except EvidenceError as error:
        raise BadDataError(error.message) from error
    lengths = map(columns.LENGTH.pack, map(len, records))
    return b"".join(chain.from_iterable(zip(lengths, records, strict=True)))


def check(public: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519 by its library."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Source:
    """An archive as the verifier reads it."""

    def __init__(self, archive: ArchiveStore) -> None:
        self._archive = archive

    def list(self, prefix: str) -> list[str]:
        return list(self._archive.list(prefix))

    def read(self, key: str) -> bytes:
        try:
            return self._archive.read(key)
        except NotFoundError as error:
            raise FileNotFoundError(2, "not there", key) from error


def verify_archive(
    archive: ArchiveStore,
    namespace: str,
    pinned: Sequence[Key],
    *,
    since: int = 0,
    since_at: int = 0,
    seen: Sequence[Head] = (),
    live: bool = False,
) -> Report:
    """What triton-verify says of the archive. Where the log is `live`, signed events that are not sealed yet
    are no finding: `verify_log` looks for them there."""
    options = Options(since=since, since_at=since_at, sealed=live, unpack=unpack, check=check)
    return triton_verify.check_archive(
        Source(archive), pinned, options, seen, f"log/{namespace}/", trust_first=True
    )


async def verify_log(report: Report, archive: ArchiveStore, log: WholeLog) -> None:
    """Compares what Redis still holds of the segments, and goes on from the last one of each partition to the
    end of the live log: dense, and with the roots that were signed. Adds what is wrong to the report."""
    keys = triton_verify.Keys([triton_verify.parse_key(text) for text in report.keys], check)
    source = Source(archive)
    for partition in range(log.partitions):
        path = f"{log.namespace}/{partition}/{log.epochs[partition]}"
        found = next((each for each in report.trees if each.path == path), None)
        if any(each.log == path and each.verdict == TAMPERED for each in report.findings):
            continue  # what does not hold together is not gone on from
        await _follow(report, source, log, keys, partition, found)
        if found is not None:
            await compare_live(report, archive, log, found)


async def _follow(
    report: Report,
    source: Source,
    log: Log,
    keys: triton_verify.Keys,
    partition: int,
    found: TreeReport | None,
) -> None:
    path = f"{log.namespace}/{partition}/{log.epochs[partition]}"
    size = found.frontier.size if found else 0
    # Before the log: what was signed is in it, and what is in it may be signed later.
    heads = await asyncio.to_thread(_fresh, source, path, keys, size) if found else []
    end = await log.position(partition)
    if found is None:
        if end:
            text = "nothing of this log is in the archive, nor is a signed head: does the archiver run?"
            report.findings.append(Finding(UNKNOWN, path, 1, end, text))
        return
    if size < found.sealed:
        return  # there is a finding about what lies between
    grown = Frontier(size, tuple(found.frontier.peaks))
    archived = len(found.rotated)
    try:
        for until in sorted({*(head.size for head in heads), end}):
            grown = await _read_to(log, found, grown, min(until, end))
            for head in heads:
                if head.size != grown.size:
                    continue
                if head.root != grown.root():
                    text = f"the live log does not have the root that was signed for size {until}"
                    report.findings.append(Finding(TAMPERED, path, size + 1, until, text))
                    return
                report.findings = [
                    each for each in report.findings if not _proved(each, path, until)
                ]
    except HoleError as error:
        at = int(error.details.get("position") or grown.size + 1)
        report.findings.append(Finding(INCOMPLETE, path, at, at, error.message))
        return
    signed = max([found.newest_head, *(head.size for head in heads)])
    if signed > end:
        text = f"a head of size {signed} was signed, but the log ends at position {end}: its tail was lost"
        report.findings.append(Finding(INCOMPLETE, path, end + 1, signed, text))
    found.live = grown.size
    by = [*found.signed, *((head, keys.newest(head.note)) for head in heads)]
    report.findings += _rotations(keys, path, found.rotated[archived:], by)


def _rotations(
    keys: triton_verify.Keys,
    path: str,
    rotated: Sequence[tuple[int, dict[str, Any]]],
    signed: Sequence[tuple[Head, int]],
) -> Iterator[Finding]:
    """What is wrong with the events key.rotated that are in the live log only."""
    for position, said in rotated:
        wrong = triton_verify.wrong_rotation(keys, said, signed)
        if wrong is not None:
            yield Finding(wrong[0], path, position, position, f"{wrong[1]} (position {position})")


def _proved(finding: Finding, path: str, size: int) -> bool:
    """Whether it says of events that nothing proves them, and a signed head with the live log does."""
    return (finding.verdict, finding.log) == (UNKNOWN, path) and 0 < finding.until <= size


def _fresh(source: Source, path: str, keys: triton_verify.Keys, after: int) -> list[Head]:
    """The newest published head where it is of more events than are sealed."""
    namespace, partition, epoch = path.split("/")
    try:
        raw = source.read(f"log/{namespace}/p{partition}/{epoch}/checkpoint")
        found = [
            triton_verify.parse_head(note, "checkpoint") for note in triton_verify.parse_notes(raw)
        ]
        return [head for head in found if head.size > after and keys.signers(head.note)]
    except (OSError, BadDataError):
        return []  # the archive's own check has said so


async def _read_to(log: Log, found: TreeReport, grown: Frontier, size: int) -> Frontier:
    while grown.size < size:
        count = min(_PAGE, size - grown.size)
        page = await log.page(found.partition, grown.size, until=size, count=count)
        if page is None:
            return grown
        grown = grown.extend(tree.leaf_hashes(segment.records_of(page)))
        for index, kind in enumerate(page.columns[TYPE]):
            if kind == triton_verify.ROTATED:
                data = msgspec.structs.asdict(page.entry(index).event().data)
                found.rotated.append((page.positions[index], data))
    return grown
