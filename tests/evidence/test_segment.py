"""The segment file: what goes in comes out, by any zstd, by block, time and job; damage is seen."""

from __future__ import annotations

import hashlib
import io
import itertools
import random
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from log_pages import page

from triton.errors import EvidenceError
from triton.events.entries import Page
from triton.evidence import columns, layout, manifest, segment
from triton.evidence.layout import Tree
from triton.evidence.manifest import Manifest
from triton.evidence.segment import Writer, Written
from triton.verifier import triton_verify


def written(whole: Page, cuts: Sequence[int] = (), *, block_events: int = 4) -> Written:
    writer = Writer(0, "e1", block_events=block_events)
    edges = sorted({0, *(cut % (whole.size + 1) for cut in cuts), whole.size})
    for begin, end in itertools.pairwise(edges):
        part = whole.part(begin, end)
        writer.add(part)
    return writer.finish()


def ranged(data: bytes) -> segment.ReadRange:
    return lambda offset, size: data[offset : offset + size]


jobs = st.lists(st.sampled_from(["a", "b", "c", "d", "job-e"]), min_size=1, max_size=30)


@given(jobs, st.lists(st.integers(0, 40), max_size=5), st.integers(1, 9), st.integers(0, 10**9))
def test_a_segment_gives_back_its_records_however_its_pages_came(
    names: list[str], cuts: list[int], block_events: int, after: int
) -> None:
    whole = page(names, after=after)
    made = written(whole, cuts, block_events=block_events)

    assert list(segment.read_all(made.data)) == [
        whole.entry(index).record() for index in range(whole.size)
    ]
    assert made.data == written(whole, block_events=block_events).data
    assert made.sha256 == hashlib.sha256(made.data).hexdigest()
    footer = segment.read_footer(ranged(made.data), len(made.data))
    assert (footer.first_position, footer.last_position) == (after + 1, after + len(names))
    for index, name in enumerate(names):
        found = footer.block_at(after + 1 + index)
        block = footer.blocks[found]
        assert block.first_position <= after + 1 + index <= block.last_position
        assert found in footer.blocks_of(name)


def test_a_job_is_looked_for_only_where_it_has_events() -> None:
    names = [f"job-{number // 3}" for number in range(300)]
    footer = written(page(names), block_events=30).footer

    assert [footer.blocks_of(f"job-{number * 10 + 3}") for number in range(10)] == [
        [number] for number in range(10)
    ]
    assert footer.blocks_of("another") == []


def test_a_block_is_as_the_documents_say() -> None:
    """By a reader of its own: what is archived for ever must be readable from its description alone."""
    whole = page([f"job-{n % 5}" for n in range(40)], after=250)
    made = written(whole, block_events=40)
    stream = zstandard.ZstdDecompressor().stream_reader(
        io.BytesIO(made.data), read_across_frames=True
    )
    block = io.BytesIO(stream.read())
    assert block.read(4) == b"TRC2"
    count, first = int.from_bytes(block.read(4)), int.from_bytes(block.read(8))
    columns = []
    for name in range(13):
        mark = block.read(1)
        if differences := mark == b"D":
            mark = block.read(1)
        if mark in (b"1", b"F"):
            length = int.from_bytes(block.read(4))
            values = [block.read(length) for _ in range(1 if mark == b"1" else count)]
            values *= 1 if mark == b"F" else count
        else:
            width = {b"B": 1, b"W": 4}[mark]
            lengths = [int.from_bytes(block.read(width)) for _ in range(count)]
            values = [block.read(length) for length in lengths]
        if differences:
            values = [b"%d" % sum(map(int, values[: n + 1])) for n in range(count)]
        if name == 12:
            places = sorted((kind, n) for n, kind in enumerate(columns[0]))
            values = [
                v for _, v in sorted((n, v) for (_, n), v in zip(places, values, strict=True))
            ]
        columns.append(values)

    assert (first, count, block.read()) == (251, 40, b"")
    assert [msgspec.msgpack.encode(row) for row in zip(range(251, 291), *columns, strict=True)] == [
        whole.entry(index).record() for index in range(40)
    ]


values = st.one_of(
    st.just(b""),
    st.binary(max_size=4),
    st.sampled_from([b"a", b"0", b"-3", b"007", b"x" * 300, b"\xc1u", b"page 3: a", b"a 70: "]),
    st.sampled_from([b"%064x" % n for n in (1, 2, 3)]),
    st.sampled_from([b"ab/cd/abcd" + b"e" * n for n in (59, 60, 61)]),
    st.sampled_from([b"01a1ff67-d65b-76b4-90cc-69430f2703e%d" % n for n in range(4)]),
)
entries = st.lists(st.tuples(*[values] * 13), min_size=1, max_size=12)
packing = st.sampled_from([columns.pack, columns.weave])


@given(entries, st.sampled_from([1, 127, 255, 65_530, 2**32 - 2]), st.booleans(), packing)
def test_columns_give_back_any_bytes_and_both_readers_the_same(
    rows: list[tuple[bytes, ...]],
    first: int,
    times: bool,
    pack: Callable[[int, Sequence[Sequence[bytes]]], bytes],
) -> None:
    if times:
        rows = [(*row[:4], b"%d" % (10**15 + len(row[0])), *row[5:]) for row in rows]
    records = [msgspec.msgpack.encode((first + n, *row)) for n, row in enumerate(rows)]
    block = pack(first, list(zip(*rows, strict=True)))

    assert columns.unpack(block) == records
    assert list(triton_verify.split_records(triton_verify.rows_of(block))) == records


def test_a_block_ends_before_it_is_too_large_to_unpack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "BLOCK_BYTES", 1000)
    whole = page([f"job-{n}" for n in range(60)])
    made = written(whole, block_events=4096)

    assert len(made.footer.blocks) > 3
    assert made.data == written(whole, [1, 7, 8, 31], block_events=4096).data
    assert list(segment.read_all(made.data)) == segment.records_of(whole)


def test_a_footer_must_name_all_blocks_of_its_file() -> None:
    """Or a reader could be shown what is hidden between them, where nothing proves it."""
    made = written(page([f"job-{n}" for n in range(30)]), block_events=15)
    hidden = written(page([f"other-{n}" for n in range(30)]), block_events=15)
    blocks, frames = made.footer.blocks, made.data[: sum(b.size for b in made.footer.blocks)]
    second = hidden.data[hidden.footer.blocks[1].offset :][: hidden.footer.blocks[1].size]

    def says(*blocks: segment.Block) -> None:
        packed = zlib.compress(
            msgspec.json.encode(msgspec.structs.replace(made.footer, blocks=blocks))
        )
        end = packed + len(packed).to_bytes(4) + segment.MAGIC
        data = b"".join(frame + len(part).to_bytes(4, "little") + part for part in (second, end))
        list(segment.read_all(frames + data))

    frame = (0x184D2A54).to_bytes(4, "little")
    place = {"offset": len(frames) + 8, "size": len(second)}
    elsewhere = msgspec.structs.replace(blocks[1], **place)
    for others in (blocks, (blocks[0], elsewhere)):
        with pytest.raises(EvidenceError, match="other blocks than it has"):
            says(*others)
    # One block that says that it reaches over all that is not wanted, up to the footer's frame.
    long = msgspec.structs.replace(blocks[0], size=len(frames) + 8)
    with pytest.raises(EvidenceError, match="unused data"):
        says(long, elsewhere)


def test_a_segment_of_the_first_format_is_still_read() -> None:
    data = (Path(__file__).parents[1] / "golden" / "segment.1.zst").read_bytes()
    expected = segment.records_of(page([f"job-{n * 7 % 11}" for n in range(40)]))

    assert list(segment.read_all(data)) == expected
    alone = triton_verify.blocks(data, triton_verify.zstd_unpack_slowly)
    assert [r for _, block in alone for r in triton_verify.split_records(block)] == expected
    newer = b"TRC9" + bytes(40)
    with pytest.raises(EvidenceError, match="version"):
        columns.unpack(newer)
    with pytest.raises(triton_verify.BadDataError, match="format"):
        triton_verify.rows_of(newer)


@pytest.mark.parametrize("pack", [columns.pack, columns.weave])
def test_a_damaged_block_is_refused_by_both_readers_or_read_alike(
    pack: Callable[[int, Sequence[Sequence[bytes]]], bytes],
) -> None:
    whole = page([f"01a1ff67-d65b-76b4-90cc-69430f2703e{n % 7}" for n in range(30)])
    good = pack(1, whole.columns)
    chance = random.Random(11)
    refused = 0
    for _ in range(500):
        block = bytearray(good)
        block[chance.randrange(4, len(block))] = chance.randrange(256)
        try:
            records = columns.unpack(bytes(block))
        except EvidenceError:
            refused += 1
            with pytest.raises(triton_verify.BadDataError):
                triton_verify.rows_of(bytes(block))
            continue
        assert list(triton_verify.split_records(triton_verify.rows_of(bytes(block)))) == records
    assert refused > 10


def test_a_footer_larger_than_the_first_read_is_read_by_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = written(page([f"job-{n}" for n in range(200)]), block_events=10)
    reads: list[tuple[int, int]] = []

    def read(offset: int, size: int) -> bytes:
        reads.append((offset, size))
        return made.data[offset : offset + size]

    assert segment.read_footer(read, len(made.data)) == made.footer
    assert len(reads) == 1
    monkeypatch.setattr(segment, "TAIL_BYTES", 64)
    assert segment.read_footer(read, len(made.data)) == made.footer
    assert len(reads) == 3


def test_damage_is_evidence_that_is_wrong_and_never_another_record() -> None:
    whole = page([f"job-{n % 7}" for n in range(60)])
    made = written(whole, block_events=20)
    records = [whole.entry(index).record() for index in range(60)]
    chance = random.Random(7)
    for _ in range(300):
        data = bytearray(made.data)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            assert list(segment.read_all(bytes(data))) == records
        except EvidenceError as error:
            assert "another copy" in error.message
    for size in (0, 3, 8, len(made.data) // 2, len(made.data) - 1):
        with pytest.raises(EvidenceError):
            list(segment.read_all(made.data[:size]))


def test_a_manifest_has_one_spelling_and_names_the_one_before() -> None:
    tree = Tree("ns", 3, "e1")
    first = Manifest(
        origin=tree.origin("here"),
        partition=3,
        epoch="e1",
        first_position=1,
        last_position=9,
        events=9,
        types={"job.started": 4, "job.due": 5},
        first_at=1,
        last_at=2,
        key=layout.segment(tree, 1, 9),
        size=100,
        sha256="00",
        root="11",
        previous="",
    )
    raw = manifest.encode(first)

    assert manifest.decode(raw) == first
    other = msgspec.structs.replace(first, types={"job.due": 5, "job.started": 4})
    assert manifest.encode(other) == raw
    assert manifest.digest(raw) == hashlib.sha256(raw).hexdigest()
    with pytest.raises(EvidenceError):
        manifest.decode(raw[:-10])


def test_keys_are_in_the_order_of_positions_and_say_what_they_hold() -> None:
    tree = Tree("a.b-c", 3, "ff00")
    keys = [layout.segment(tree, first, first + 9) for first in (1, 95, 100_000_000)]

    assert keys == sorted(keys)
    assert [layout.range_of(key) for key in keys] == [
        (1, 10),
        (95, 104),
        (100_000_000, 100_000_009),
    ]
    assert layout.manifest_of(keys[0]) == layout.manifest(tree, 1, 10)
    assert layout.range_of(layout.manifest(tree, 1, 10)) is None
    assert layout.head_of(layout.heads(tree, 7, 8)) == (7, 8)
    assert {layout.tree_of(key) for key in (*keys, layout.checkpoint(tree))} == {tree}
    assert layout.tree_of("objects/sha256/aa") is None
