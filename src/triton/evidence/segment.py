"""Owns the segment file: blocks of records as zstd frames, and a footer that finds a block, a time or a job.

The file is read from its end by ranges: the footer, then only the blocks that are asked for. Any zstd
unpacks the blocks (triton.evidence.columns): the footer is a skippable frame. Pure:
whoever reads gives a callback for ranges.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import struct
import sys
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, TypeAlias

import msgspec
import zstandard

from triton.errors import EvidenceError
from triton.events.entries import Page
from triton.events.envelope import AT, FIELDS, JOB
from triton.evidence import columns as columnar

#: Records in one block: what is unpacked to read one of them.
BLOCK_EVENTS: Final = 4096
#: Bytes of values after which a block ends earlier.
BLOCK_BYTES: Final = 16 * 1024 * 1024
LEVEL: Final = 6
#: Of a segment of one block, where there is time.
SMALL_LEVEL: Final = 19
#: Bytes that are read from the end at first: the whole footer of most segments.
TAIL_BYTES: Final = 128 * 1024
MAGIC: Final = b"TRS1"

_SKIPPABLE: Final = struct.Struct("<II")
_SKIPPABLE_MAGIC: Final = 0x184D2A54
_END: Final = struct.Struct(">I4s")

#: Bytes of a segment: offset and number of them. Fewer may come at its end only.
ReadRange: TypeAlias = Callable[[int, int], bytes]


class Block(msgspec.Struct, frozen=True, array_like=True):
    """A zstd frame in the file, and what it holds. Times are microseconds since 1970; they never fall."""

    offset: int
    size: int
    first_position: int
    count: int
    first_at: int
    last_at: int

    @property
    def last_position(self) -> int:
        return self.first_position + self.count - 1


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment says of itself."""

    partition: int
    epoch: str
    blocks: tuple[Block, ...]
    #: For each block the sorted CRC-32 of its jobs' ids as big-endian numbers: first all highest bytes,
    #: then all next ones; base64. A job that is not there has no event in the block; one that is may have.
    jobs: tuple[str, ...]
    format: int = 2

    @property
    def first_position(self) -> int:
        return self.blocks[0].first_position

    @property
    def last_position(self) -> int:
        return self.blocks[-1].last_position

    def block_at(self, position: int) -> int:
        """The index of the block with a position. Raises ValueError where the segment has none."""
        if not self.first_position <= position <= self.last_position:
            raise ValueError(
                f"position {position} is not in a segment of {self.first_position} to "
                f"{self.last_position}"
            )
        return bisect_right(self.blocks, position, key=lambda block: block.first_position) - 1

    def blocks_of(self, job: str) -> list[int]:
        """The indexes of the blocks that may hold events of a job; of a job that is not in the segment,
        none but for one block in millions."""
        wanted = zlib.crc32(job.encode())
        return [index for index, packed in enumerate(self.jobs) if _holds(packed, wanted)]


class Written(msgspec.Struct, frozen=True):
    """A segment's bytes, its footer, and the SHA-256 of the bytes in hex."""

    data: bytes
    footer: Footer
    sha256: str


class Writer:
    """Makes one segment of pages, block by block: what it keeps is packed already.

    A segment of one block is packed as small as can be, which takes its time, unless it is `hurried`.
    """

    def __init__(
        self,
        partition: int,
        epoch: str,
        *,
        block_events: int = BLOCK_EVENTS,
        level: int = LEVEL,
        hurried: bool = False,
    ) -> None:
        self._partition = partition
        self._epoch = epoch
        self._block_events = block_events
        self._level = level
        self._hurried = hurried
        self._pages: list[Page] = []
        self._waiting = self._bytes = 0
        self._frames: list[bytes] = []
        self._offset = 0
        self._blocks: list[Block] = []
        self._jobs: list[str] = []

    def add(self, page: Page) -> None:
        """Adds a page that follows the last one."""
        sizes = list(map(sum, zip(*(map(len, column) for column in page.columns), strict=True)))
        while page.size:
            until = list(itertools.accumulate(sizes, initial=self._bytes))
            room = min(self._block_events - self._waiting, bisect_left(until, BLOCK_BYTES))
            taken = min(room, page.size)
            self._pages.append(page.part(0, taken))
            self._waiting += taken
            self._bytes = until[taken]
            if taken < room:
                return
            self._flush()
            page, sizes = page.part(taken, page.size), sizes[taken:]

    def finish(self) -> Written:
        """The segment of all that was added. Raises ValueError for nothing."""
        self._flush(last=True)
        if not self._blocks:
            raise ValueError("a segment of no events")
        footer = Footer(
            partition=self._partition,
            epoch=self._epoch,
            blocks=tuple(self._blocks),
            jobs=tuple(self._jobs),
        )
        packed = zlib.compress(msgspec.json.encode(footer), 9)
        size = len(packed) + _END.size
        self._frames += (
            _SKIPPABLE.pack(_SKIPPABLE_MAGIC, size),
            packed,
            _END.pack(len(packed), MAGIC),
        )
        data = b"".join(self._frames)
        return Written(data, footer, sha256_of(data))

    def _flush(self, *, last: bool = False) -> None:
        if not self._pages:
            return
        pages, self._pages, self._waiting, self._bytes = self._pages, [], 0, 0
        first = pages[0].positions[0]
        columns = [
            list(chain.from_iterable(page.columns[index] for page in pages))
            for index in range(len(FIELDS))
        ]
        small = last and not self._blocks and not self._hurried
        packed = columnar.weave(first, columns) if small else columnar.pack(first, columns)
        level = SMALL_LEVEL if small else self._level
        frame = zstandard.ZstdCompressor(level=level, write_checksum=True).compress(packed)
        self._blocks.append(
            Block(
                offset=self._offset,
                size=len(frame),
                first_position=first,
                count=len(columns[0]),
                first_at=int(columns[AT][0]),
                last_at=int(columns[AT][-1]),
            )
        )
        self._jobs.append(_packed(columns[JOB]))
        self._frames.append(frame)
        self._offset += len(frame)


def read_footer(read: ReadRange, size: int) -> Footer:
    """The footer of a segment of `size` bytes, by one or two ranged reads. Raises EvidenceError."""
    tail = read(max(0, size - TAIL_BYTES), min(size, TAIL_BYTES))
    if len(tail) < _END.size:
        raise _damaged(f"it has {size} bytes")
    length, magic = _END.unpack(tail[-_END.size :])
    if magic != MAGIC or length > size - _END.size:
        raise _damaged("it does not end as one does")
    if length + _END.size > len(tail):
        tail = read(size - _END.size - length, length + _END.size)
    try:
        packed = zlib.decompress(tail[-_END.size - length : -_END.size])
        footer = msgspec.json.decode(packed, type=Footer)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise _damaged(f"its footer cannot be read ({error})") from error
    if not footer.blocks or len(footer.jobs) != len(footer.blocks):
        raise _damaged("its footer has no index of its blocks")
    if not _follow(footer.blocks, size - _END.size - length - _SKIPPABLE.size):
        raise _damaged("its footer names other blocks than it has")
    return footer


def read_block(read: ReadRange, block: Block) -> list[bytes]:
    """The records of one block, in order. Raises EvidenceError."""
    frame = read(block.offset, block.size)
    records = columnar.unpack(_decompressed(frame))
    if len(records) != block.count:
        raise _damaged(
            f"the block at {block.first_position} holds {len(records)} records, expected {block.count}"
        )
    return records


def read_all(data: bytes) -> Iterator[bytes]:
    """The records of a whole segment, in order. Raises EvidenceError."""

    def read(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    for block in read_footer(read, len(data)).blocks:
        yield from read_block(read, block)


def sha256_of(data: bytes) -> str:
    """In hex."""
    return hashlib.sha256(data).hexdigest()


def records_of(page: Page) -> list[bytes]:
    """The record of each entry of a page, as `Entry.record` gives it."""
    return list(map(_encode, zip(page.positions, *page.columns, strict=True)))


_encode: Final = msgspec.msgpack.Encoder().encode


def _follow(blocks: Sequence[Block], end: int) -> bool:
    """Whether the blocks are all of the file up to `end`: nothing is hidden between two of them."""
    offset, position = 0, blocks[0].first_position
    for block in blocks:
        if (block.offset, block.first_position) != (offset, position):
            return False
        offset, position = offset + block.size, position + block.count
    return offset == end


def _decompressed(frame: bytes) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _damaged(f"a block cannot be unpacked ({error})") from error


def _packed(jobs: Iterable[bytes]) -> str:
    numbers = array("I", sorted(set(map(zlib.crc32, set(jobs)))))
    if sys.byteorder == "little":
        numbers.byteswap()
    raw = numbers.tobytes()
    return base64.b64encode(b"".join(raw[byte::4] for byte in range(4))).decode()


def _holds(packed: str, wanted: int) -> bool:
    """Whether a number is in a block's index. Of its bytes only those are put together that are looked at."""
    try:
        raw = base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        raise _damaged("its index of jobs is none") from error
    count = len(raw) // 4
    first = wanted >> 24
    # The highest bytes stand first, in order.
    begin, end = bisect_left(raw, first, 0, count), bisect_right(raw, first, 0, count)
    rest = (wanted >> 16 & 255, wanted >> 8 & 255, wanted & 255)
    return any(
        (raw[count + at], raw[2 * count + at], raw[3 * count + at]) == rest
        for at in range(begin, end)
    )


def _damaged(what: str) -> EvidenceError:
    return EvidenceError(
        f"this is no whole segment of Triton's log: {what}; read it from another copy of the archive"
    )
