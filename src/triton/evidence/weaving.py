"""Owns what is cut out of a block's text before it is packed: ids, digests, numbers before colons. Pure.

As text in the middle of others they cost twice: four bits of chance take five, and a line that differs from
another one by its number alone is no repetition of it. Apart, each id stands once, as bytes, and the text
says where it goes. docs/decisions/0002-evidence.md has the layout.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final

#: Stands in the text where something was cut out; the letter behind it says what. No byte of UTF-8.
MARK: Final = b"\xc1"
_SIZES: Final = struct.Struct(">6I")
_CUT: Final = re.compile(
    rb"(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    rb"|(?P<address>([0-9a-f]{2})/([0-9a-f]{2})/\3\4[0-9a-f]{60}(?![0-9a-f]))"
    rb"|(?<![0-9a-f])(?P<digest>[0-9a-f]{64})(?![0-9a-f])"
    rb"|(?<= )(?P<number>[1-9][0-9]{0,3})(?=:)"
    rb"|(?P<mark>\xc1)"
)


class _Table:
    """Values, each once; and which of them follow one another, as steps in it."""

    def __init__(self) -> None:
        self.places: dict[bytes, int] = {}
        self.steps: list[int] = []
        self._last = -1

    def add(self, value: bytes) -> None:
        place = self.places.setdefault(value, len(self.places))
        self.steps.append(place - self._last)
        self._last = place


def cut(raw: bytes) -> bytes:
    """The bytes with what is cut out of them apart; `restore` is its inverse."""
    uuids, digests = _Table(), _Table()
    numbers: list[int] = []

    def found(match: re.Match[bytes]) -> bytes:
        kind, value = match.lastgroup, match[0]
        if kind == "uuid":
            uuids.add(value)
            return MARK + b"u"
        if kind == "number":
            numbers.append(int(value))
            return MARK + b"n"
        if kind == "mark":
            return MARK + b"."
        digests.add(value[-64:])
        return MARK + (b"d" if kind == "digest" else b"a")

    text = _CUT.sub(found, raw)
    sizes = (
        *(len(uuids.places), len(uuids.steps), len(digests.places), len(digests.steps)),
        *(len(numbers), len(text)),
    )
    return b"".join(
        [
            _SIZES.pack(*sizes),
            planes(uuids.steps),
            planes(digests.steps),
            planes([new - old for old, new in itertools.pairwise([0, *numbers])]),
            text,
            *(bytes.fromhex(value.replace(b"-", b"").decode()) for value in uuids.places),
            *(bytes.fromhex(value.decode()) for value in digests.places),
        ]
    )


def restore(block: bytes, at: int, most: int) -> bytes:
    """The bytes of which `cut` made what begins at `at`. Raises ValueError, also for more than `most`."""
    uuids, uuid_steps, digests, digest_steps, numbers, size = _SIZES.unpack_from(block, at)
    at += _SIZES.size
    begins = list(
        itertools.accumulate(
            [4 * uuid_steps, 4 * digest_steps, 4 * numbers, size, 16 * uuids, 32 * digests],
            initial=at,
        )
    )
    if begins[-1] != len(block):
        raise ValueError(f"what was cut out ends at {begins[-1]}, and the block at {len(block)}")
    parts = [block[begin:end] for begin, end in itertools.pairwise(begins)]
    ids = _looked_up(parts[0], [_uuid(each) for each in _each(parts[4], 16)])
    hashes = _looked_up(parts[1], [each.hex().encode() for each in _each(parts[5], 32)])
    counted = iter([b"%d" % number for number in _sums(parts[2], 0)])
    fill: dict[bytes, Callable[[], bytes]] = {
        b"u": ids.__next__,
        b"d": hashes.__next__,
        b"a": lambda: _address(next(hashes)),
        b"n": counted.__next__,
        b".": lambda: MARK,
    }
    first, *rest = parts[3].split(MARK)
    pieces = [first]
    try:
        for piece in rest:
            pieces += fill[piece[:1]](), piece[1:]
    except (StopIteration, KeyError) as error:
        raise ValueError("the text has a place for what is not there") from error
    if any(next(left, None) is not None for left in (ids, hashes, counted)):
        raise ValueError("the text has no place for all that was cut out")
    if sum(map(len, pieces)) > most:
        raise ValueError(f"it holds more than {most} bytes")
    return b"".join(pieces)


def planes(numbers: Sequence[int]) -> bytes:
    """Numbers, modulo 2^32, as four bytes each: all highest bytes, then all next ones."""
    raw = struct.pack(f">{len(numbers)}I", *(number & 0xFFFFFFFF for number in numbers))
    return b"".join(raw[byte::4] for byte in range(4))


def from_planes(raw: bytes) -> tuple[int, ...]:
    """The inverse of `planes`, for numbers below 2^32."""
    count = len(raw) // 4
    together = bytearray(4 * count)
    for byte in range(4):
        together[byte::4] = raw[byte * count : (byte + 1) * count]
    return struct.unpack(f">{count}I", together)


def _sums(raw: bytes, initial: int) -> list[int]:
    """The numbers of which these are the steps, modulo 2^32."""
    sums = itertools.accumulate(from_planes(raw), initial=initial)
    return [number & 0xFFFFFFFF for number in itertools.islice(sums, 1, None)]


def _looked_up(steps: bytes, table: Sequence[bytes]) -> Iterator[bytes]:
    places = _sums(steps, -1)
    if places and max(places) >= len(table):
        raise ValueError("the text has a place for what is not there")
    return map(table.__getitem__, places)


def _each(raw: bytes, size: int) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def _uuid(raw: bytes) -> bytes:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()


def _address(digest: bytes) -> bytes:
    return digest[:2] + b"/" + digest[2:4] + b"/" + digest
