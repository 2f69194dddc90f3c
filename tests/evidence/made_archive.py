"""Makes archives as the archiver would, out of any records, and lets a test forge them."""

from __future__ import annotations

import atexit
import json
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from log_pages import page

from triton.events.codec import encode_data, record_of
from triton.events.types import KeyRotated, SegmentExpired
from triton.evidence import columns, keyring, layout, manifest, notes, proofs, segment, tiles, tree
from triton.evidence.keyring import text_of
from triton.evidence.manifest import Manifest
from triton.evidence.notes import Signer, TreeHead
from triton.evidence.proofs import Proof
from triton.evidence.tiles import HashReader, Tile
from triton.evidence.tree import Frontier
from triton.verifier import triton_verify

NAME = "example.com/triton"
VERIFIER = Path(triton_verify.__file__)


def records(count: int, *, after: int = 0, job: str = "j") -> list[bytes]:
    """Records of plausible events, three for each job: a part of one and the same log."""
    jobs = [f"{job}{number // 3}" for number in range(after + count)]
    return segment.records_of(page(jobs))[after:]


def expiry(position: int, said: Manifest, **changes: object) -> bytes:
    """The record of the event that a segment expired, as the manifest has it but for what is changed."""
    data = SegmentExpired(
        partition=said.partition,
        epoch=said.epoch,
        first=said.first_position,
        last=said.last_position,
        key=said.key,
        sha256=said.sha256,
        root=said.root,
        reason="older than 30 days",
    )
    changed = msgspec.structs.replace(data, **changes)
    values = (
        *(b"segment.expired", b"", b"0", b"0", b"1800000000000000", b"system", b"", b"", b""),
        *(b"default", b"", b"1", encode_data(changed)),
    )
    return record_of(position, [part for value in values for part in (b"", value)])


def rotation(position: int, previous: str, key: str, size: int) -> bytes:
    """The record of the event that another key signs."""
    data = encode_data(KeyRotated(previous=previous, key=key, size=size))
    values = (
        *(b"key.rotated", b"", b"0", b"0", b"1800000000000000", b"system", b"", b"", b""),
        *(b"", b"", b"1", data),
    )
    return record_of(position, [part for value in values for part in (b"", value)])


class MadeArchive:
    """One log's archive below `root`. Heads are signed at each seal, and wherever `head` says."""

    def __init__(
        self,
        root: Path,
        signer: Signer,
        *,
        epoch: str = "e1",
        partition: int = 0,
        namespace: str = "triton",
        name: str = NAME,
    ) -> None:
        self.root, self.signer = root, signer
        self.tree = layout.Tree(namespace, partition, epoch)
        self.origin = self.tree.origin(name)
        self.frontier = Frontier()
        self.hashes: list[bytes] = []
        self.records: list[bytes] = []
        self.previous = ""
        self.signed = 0
        ring = self.path(keyring.key_of(namespace, 1))
        if not ring.exists():
            ring.parent.mkdir(parents=True)
            ring.write_bytes(bytes(notes.sign(text_of(namespace, [signer.key]), [signer])))

    def path(self, key: str) -> Path:
        return self.root.joinpath(*key.split("/"))

    def write(self, key: str, data: bytes) -> Path:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    @property
    def segments(self) -> list[Path]:
        return sorted(self.path(layout.segments(self.tree)).glob("*.zst"))

    def head(self, size: int | None = None) -> bytes:
        """A signed head of this size."""
        size = len(self.hashes) if size is None else size
        head = TreeHead(self.origin, size, tree.root_of(self.hashes[:size]))
        return notes.sign_head(head, [self.signer])

    def publish(self, *heads: bytes) -> None:
        """Puts signed heads where the archiver does; the last is the newest."""
        self.signed += 1
        size = triton_verify.parse_head(triton_verify.parse_notes(heads[-1])[-1], "").size
        self.write(layout.heads(self.tree, size, self.signed), b"".join(heads))
        self.write(layout.checkpoint(self.tree), heads[-1])

    def seal(self, new: Sequence[bytes], *, block: int = 64, signed: bool = True) -> None:
        """Writes the next segment of these records, its tiles, manifest and head."""
        first, last = self.frontier.size + 1, self.frontier.size + len(new)
        data = packed(new, first, block, self.tree.partition, self.tree.epoch)
        hashes = tree.leaf_hashes(new)
        self.records += new
        self.hashes += hashes
        self.frontier, made = tiles.grow(self.frontier, hashes, self.read_tile)
        for tile, raw in made:
            self.write(layout.tile(self.tree, tile), raw)
        key = layout.segment(self.tree, first, last)
        path = self.write(key, data)
        fields = list(map(triton_verify.unpack_record, new))
        made_of = Manifest(
            origin=self.origin,
            partition=self.tree.partition,
            epoch=self.tree.epoch,
            first_position=first,
            last_position=last,
            events=len(new),
            types=dict(Counter(each["type"] for each in fields)),
            first_at=fields[0]["at"],
            last_at=fields[-1]["at"],
            key=key,
            size=path.stat().st_size,
            sha256=manifest.digest(data),
            root=self.frontier.root().hex(),
            previous=self.previous,
            peaks=tuple(peak.hex() for peak in self.frontier.peaks),
        )
        raw = manifest.encode(made_of)
        self.previous = manifest.digest(raw)
        self.write(layout.manifest_of(key), raw)
        if signed:
            self.publish(self.head())

    def expire(self, number: int, **changes: object) -> Path:
        """Lets a segment expire as it should be: its leaf hashes stay, and a sealed event declares it, which
        says what is changed otherwise. Answers where its bytes were."""
        path = self.segments[number]
        raw = path.with_suffix(".json").read_bytes()
        said = manifest.decode(raw)
        leaves = b"".join(self.hashes[said.first_position - 1 : said.last_position])
        path.with_suffix(".leaves").write_bytes(leaves)
        more = {
            "events": said.events,
            "manifest": manifest.digest(raw),
            "leaves": manifest.digest(leaves),
        }
        at = len(self.records) + 1
        self.seal([expiry(at, said, **{**more, **changes}), *records(20 + at, after=0)[at:]])
        path.unlink()
        return path

    def read_tile(self, tile: Tile) -> bytes:
        return self.path(layout.tile(self.tree, tile)).read_bytes()

    def prove(self, position: int) -> bytes:
        size = len(self.hashes)
        reader = HashReader(size, self.frontier.size, self.read_tile, lambda a, b: self.hashes[a:b])
        hashes = tuple(reader.inclusion(position - 1))
        return bytes(proofs.Proof(position - 1, hashes, self.head(), self.records[position - 1]))


def packed(
    new: Sequence[bytes], first: int, block: int, partition: int = 0, epoch: str = "e1"
) -> bytes:
    """A segment file of any records, also of some that the archiver would never write."""
    frames = []
    blocks, jobs = [], []
    offset = 0
    for start in range(0, len(new), block):
        part = new[start : start + block]
        raw = by_columns(part, first + start)
        frames.append(zstandard.ZstdCompressor(level=6, write_checksum=True).compress(raw))
        rows = list(map(msgspec.msgpack.decode, part))
        times = int(rows[0][5]), int(rows[-1][5])
        blocks.append([offset, len(frames[-1]), first + start, len(part), *times])
        jobs.append(triton_verify.index_of({row[2] for row in rows}))
        offset += len(frames[-1])
    footer = {"partition": partition, "epoch": epoch, "blocks": blocks, "jobs": jobs, "format": 1}
    return b"".join(frames) + end_of_segment(footer)


def end_of_segment(footer: dict[str, Any]) -> bytes:
    """The frame with the footer."""
    body = zlib.compress(json.dumps(footer).encode())
    return skippable(body + len(body).to_bytes(4) + b"TRS1")


def skippable(content: bytes) -> bytes:
    """A zstd frame that readers pass over."""
    return (0x184D2A54).to_bytes(4, "little") + len(content).to_bytes(4, "little") + content


def by_columns(part: Sequence[bytes], first: int) -> bytes:
    """A block as the archiver writes it; of records that it would not write, as the first format had them."""
    rows = list(map(msgspec.msgpack.decode, part))
    if any(len(row) != 14 for row in rows) or [row[0] for row in rows] != list(
        range(first, first + len(rows))
    ):
        return b"".join(len(record).to_bytes(4) + record for record in part)
    return columns.pack(first, list(zip(*rows, strict=True))[1:])


@cache
def _compiled() -> str:
    """The program compiled once for all of its runs, which took half of the time of each."""
    made = Path(tempfile.mkdtemp(prefix="triton-verifier-")) / "triton_verify.pyc"
    atexit.register(shutil.rmtree, made.parent, ignore_errors=True)
    py_compile.compile(str(VERIFIER), str(made), doraise=True)
    return str(made)


def verify(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The program as an auditor runs it: alone, without site-packages. Exit code and report."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", _compiled(), str(path), "--json", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode in (0, 1, 2, 3), done.stderr
    report = json.loads(done.stdout) if done.stdout else {"sentence": done.stderr}
    assert done.stdout == "" or report["exit"] == done.returncode
    return done.returncode, report


__all__ = ["NAME", "MadeArchive", "Proof", "packed", "records", "verify"]
