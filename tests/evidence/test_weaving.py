"""What a segment of one block holds: read by a reader of its own, and bounded."""

from __future__ import annotations

import io
import itertools

import pytest
import zstandard
from log_pages import page

from triton.events.entries import Page
from triton.evidence import segment, weaving
from triton.verifier import triton_verify

IDS = [f"01a1ff67-d65b-76b4-90cc-69430f2703e{n}" for n in range(4)]
DIGEST = "c6" + "0f" * 31


def number(block: io.BytesIO, size: int = 4) -> int:
    return int.from_bytes(block.read(size))


def planes(block: io.BytesIO, count: int) -> list[int]:
    rows = [block.read(count) for _ in range(4)]
    return [int.from_bytes(bytes(row[n] for row in rows)) for n in range(count)]


def summed(block: io.BytesIO, count: int, last: int) -> list[int]:
    return [last := (last + step) % 2**32 for step in planes(block, count)]


def text_of(block: io.BytesIO) -> bytes:
    """The text with what was cut out of it."""
    sizes = [number(block) for _ in range(6)]
    uuids, hashes = summed(block, sizes[1], -1), summed(block, sizes[3], -1)
    numbers = summed(block, sizes[4], 0)
    first, *rest = block.read(sizes[5]).split(b"\xc1")
    ids = [block.read(16).hex() for _ in range(sizes[0])]
    digests = [block.read(32).hex() for _ in range(sizes[2])]
    assert (len(ids), digests, block.read()) == (4, [DIGEST], b"")
    for piece in rest:
        fill = "\udcc1"
        if piece[:1] == b"u":
            raw = ids[uuids.pop(0)]
            fill = "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))
        elif piece[:1] == b"n":
            fill = str(numbers.pop(0))
        elif piece[:1] in b"da":
            raw = digests[hashes.pop(0)]
            fill = raw if piece[:1] == b"d" else f"{raw[:2]}/{raw[2:4]}/{raw}"
        first += fill.encode(errors="surrogateescape") + piece[1:]
    return first


def column(text: io.BytesIO, count: int) -> list[bytes]:
    mark = text.read(1)
    if mark == b"T":
        begin = number(text, 8)
        times = itertools.accumulate(planes(text, count - 1), initial=begin)
        return [b"%d" % at for at in times]
    if mark in (b"1", b"F"):
        length = number(text)
        values = [text.read(length) for _ in range(1 if mark == b"1" else count)]
        return values * (count if mark == b"1" else 1)
    lengths = [number(text, {b"B": 1, b"W": 4}[mark]) for _ in range(count)]
    return [text.read(length) for length in lengths]


def test_a_block_in_the_order_of_jobs_is_as_the_documents_say() -> None:
    """What is archived for ever must be readable from its description alone."""
    plain = page([IDS[n % 3] for n in range(4)], after=250)
    columns = [list(values) for values in plain.columns]
    said = f"page 12: \udcc1 objects/sha256/c6/0f/{DIGEST} {DIGEST}"
    columns[12] = [
        f"{IDS[3]} page {n}: {said}".encode(errors="surrogateescape") for n in (3, 1, 7, 8)
    ]
    writer = segment.Writer(0, "e1")
    writer.add(Page(0, plain.positions, columns))
    block = io.BytesIO(zstandard.ZstdDecompressor().decompress(writer.finish().data))

    assert (block.read(4), number(block), number(block, 8)) == (b"TRC3", 4, 251)
    text = io.BytesIO(text_of(block))
    found = {name: column(text, 4) for name in (1, 0, *range(2, 13))}
    assert text.read() == b""
    # The jobs are a b c a, and the last entry alone is of the type job.started.
    for name in {*range(12)} - {1, 4}:
        found[name] = [found[name][n] for n in (0, 2, 3, 1)]
    assert found.pop(12) == [columns[12][n] for n in (3, 0, 1, 2)]
    assert found == {name: columns[name] for name in range(12)}


def test_an_archiver_that_is_behind_packs_as_large_segments_are_packed() -> None:
    whole = page([IDS[n % 3] for n in range(40)])
    for hurried, magic in ((True, b"TRC2"), (False, b"TRC3")):
        writer = segment.Writer(0, "e1", hurried=hurried)
        writer.add(whole)
        made = writer.finish()
        assert zstandard.ZstdDecompressor().decompress(made.data)[:4] == magic
        assert list(segment.read_all(made.data)) == segment.records_of(whole)


def test_what_grows_beyond_its_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    block = bytes(16) + weaving.cut(b"01a1ff67-d65b-76b4-90cc-69430f2703e1" * 30)
    assert len(weaving.restore(block, 16, 1080)) == 1080
    with pytest.raises(ValueError, match="1079 bytes"):
        weaving.restore(block, 16, 1079)
    monkeypatch.setattr(triton_verify, "FRAME_MAX", 1079)
    with pytest.raises(triton_verify.BadDataError, match="too many bytes"):
        triton_verify._woven_text(block, 16)
