#!/usr/bin/env python3
"""Owns `triton-verify`: checks a copy of Triton's archive offline. One file, standard library only.

Python 3.9 or later is all that it needs: no network, no database, no Triton. Copy this file to wherever
the evidence is. It trusts nothing that it reads but the key that the auditor gives it (--key).
"""

from __future__ import annotations

import argparse
import base64
import builtins
import csv
import datetime
import functools
import hashlib
import importlib
import io
import itertools
import json
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import (
    Any,
    Callable,
    NamedTuple,
    NoReturn,
)

zstd: Any
try:
    zstd = importlib.import_module("compression.zstd")
except ImportError:
    zstd = None

#: One zstd frame -> its content; (public key, signature, message) -> whether it is good.
Unpack = Callable[[bytes], bytes]
Check = Callable[[bytes, bytes, bytes], bool]

# ---------------------------------------------------------------------------------------------------------
# zstd (RFC 8878), for interpreters without compression.zstd (before Python 3.14).
# Checksums inside of frames are not looked at: the manifest's SHA-256 is over all bytes of a segment.

ZSTD_MAGIC = 0xFD2FB528
BLOCK_MAX = 128 * 1024
FRAME_MAX = 1 << 28

Entry = tuple[int, int, int, int]  # base value, its extra bits, bits of the next state, its base


class BadDataError(ValueError):
    """Bytes that are not what their format demands."""


def json_of(text: str | bytes) -> Any:
    """Raises ValueError, also for what is nested deeper than anybody writes it."""
    try:
        return json.loads(text)
    except RecursionError:
        raise BadDataError("it is nested too deep") from None


def zstd_frames(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """(start, end, is skippable) of each frame."""
    at = 0
    while at < len(data):
        start = at
        if len(data) - at < 8:
            raise BadDataError("zstd: the last frame is cut off")
        magic, size = struct.unpack_from("<II", data, at)
        if magic & 0xFFFFFFF0 == 0x184D2A50:
            at += 8 + size
        elif magic == ZSTD_MAGIC:
            at = _frame_header(data, at)[0]
            last = False
            while not last:
                last, kind, size = _block_header(data, at)
                at += 3 + (1 if kind == 1 else size)
            at += 4 if data[start + 4] & 4 else 0
        else:
            raise BadDataError(f"zstd: byte {at} begins no frame")
        if at > len(data):
            raise BadDataError("zstd: the last frame is cut off")
        yield start, at, magic != ZSTD_MAGIC


def _frame_header(data: bytes, at: int) -> tuple[int, int]:
    """Where the first block begins, and the content's size (-1 where it is not said)."""
    flags = data[at + 4]
    single = flags >> 5 & 1
    if flags & 8 or flags & 3:
        raise BadDataError("zstd: frames with a dictionary are not read")
    width = (single, 2, 4, 8)[flags >> 6]
    at += 5 + (1 - single)
    if at + width > len(data):
        raise BadDataError("zstd: a frame's header is cut off")
    size = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
    return at + width, size if width else -1


def _block_header(data: bytes, at: int) -> tuple[bool, int, int]:
    if at + 3 > len(data):
        raise BadDataError("zstd: a block's header is cut off")
    word = int.from_bytes(data[at : at + 3], "little")
    kind, size = word >> 1 & 3, word >> 3
    if kind == 3 or size > BLOCK_MAX:
        raise BadDataError("zstd: a block of a reserved kind or size")
    return bool(word & 1), kind, size


def zstd_unpack(frame: bytes) -> bytes:
    """The content of one frame, by the interpreter's own zstd where it has one."""
    if zstd is None:
        return zstd_unpack_slowly(frame)
    try:
        unpacker = zstd.ZstdDecompressor()
        made: bytes = unpacker.decompress(frame, FRAME_MAX + 1)
    except zstd.ZstdError as error:
        raise BadDataError(f"zstd: {error}") from error
    if not unpacker.eof:
        raise BadDataError(f"zstd: a frame is cut off or holds more than {FRAME_MAX} bytes")
    return made


def zstd_unpack_slowly(frame: bytes) -> bytes:
    """The content of one frame, in plain Python."""
    try:
        return _Frame(frame).content()
    except (IndexError, struct.error, OverflowError) as error:
        raise BadDataError("zstd: the frame is damaged") from error


def _bits_of(data: bytes) -> tuple[bytes, int]:
    """A stream that is read backwards, with room of 16 zero bytes before it, and its length in bits."""
    if not data or not data[-1]:
        raise BadDataError("zstd: a bit stream has no end mark")
    return bytes(16) + data, 128 + len(data) * 8 - 9 + data[-1].bit_length()


def _fse_counts(
    data: bytes, at: int, end: int, symbols: int, log: int
) -> tuple[list[int], int, int]:
    """The probabilities of a table, its accuracy, and where its description ends."""
    bits = int.from_bytes(data[at : min(end, at + 512)], "little")
    accuracy = (bits & 15) + 5
    used = 4
    if accuracy > log:
        raise BadDataError("zstd: a table is too exact")
    remaining = 1 << accuracy
    counts: list[int] = []
    while remaining > 0:
        width = (remaining + 1).bit_length()
        value = bits >> used & (1 << width) - 1
        used += width
        lower = (1 << width - 1) - 1
        threshold = (1 << width) - 2 - remaining
        if value & lower < threshold:
            used -= 1
            value &= lower
        elif value > lower:
            value -= threshold
        counts.append(value - 1)
        remaining -= abs(value - 1)
        repeat = 3 if value == 1 else 0
        while repeat == 3:
            repeat = bits >> used & 3
            used += 2
            counts += [0] * repeat
        if len(counts) > symbols:
            raise BadDataError("zstd: a table has too many symbols")
    end_at = at + (used + 7) // 8
    if remaining or end_at > end:
        raise BadDataError("zstd: a table's description is damaged")
    return counts, accuracy, end_at


def _fse_states(counts: Sequence[int], accuracy: int) -> list[tuple[int, int, int]]:
    """Of each state: its symbol, the bits to read for the next state, and what to add to them."""
    size = 1 << accuracy
    symbols = [0] * size
    high = size
    following = list(counts)
    for symbol, count in enumerate(counts):
        if count == -1:
            high -= 1
            symbols[high] = symbol
            following[symbol] = 1
    step, at = (size >> 1) + (size >> 3) + 3, 0
    for symbol, count in enumerate(counts):
        for _ in range(count):
            symbols[at] = symbol
            at = at + step & size - 1
            while at >= high:
                at = at + step & size - 1
    if at:
        raise BadDataError("zstd: a table does not add up")
    states = []
    for symbol in symbols:
        state = following[symbol]
        following[symbol] += 1
        width = accuracy - state.bit_length() + 1
        states.append((symbol, width, (state << width) - size))
    return states


def _codes(bases: Sequence[tuple[int, int]], states: Sequence[tuple[int, int, int]]) -> list[Entry]:
    if any(symbol >= len(bases) for symbol, _, _ in states):
        raise BadDataError("zstd: a table has an unknown code")
    return [(*bases[symbol], width, base) for symbol, width, base in states]


def _bases(first: int, plain: int, extra: Sequence[int]) -> list[tuple[int, int]]:
    """Codes of one value each, then codes of 2**bits values."""
    made = [(first + code, 0) for code in range(plain)]
    value = first + plain
    for bits in extra:
        made.append((value, bits))
        value += 1 << bits
    return made


LITERAL_BASES = _bases(0, 16, [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, *range(7, 17)])
MATCH_BASES = _bases(3, 32, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, *range(7, 17)])
OFFSET_BASES = [(1 << code, code) for code in range(32)]
LITERAL_COUNTS = [4, 3, *[2] * 11, 1, 1, 1, *[2] * 9, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1]
MATCH_COUNTS = [1, 4, 3, 2, 2, 2, 2, 2, 2, *[1] * 37, *[-1] * 7]
OFFSET_COUNTS = [*[1] * 6, 2, 2, 2, *[1] * 15, *[-1] * 5]
#: Bases, predefined counts, their accuracy, and the largest accuracy of a table in the stream.
KINDS = (
    (LITERAL_BASES, LITERAL_COUNTS, 6, 9),
    (OFFSET_BASES, OFFSET_COUNTS, 5, 8),
    (MATCH_BASES, MATCH_COUNTS, 6, 9),
)
PREDEFINED = [(_codes(b, _fse_states(c, a)), a) for b, c, a, _ in KINDS]
MASKS = [(1 << width) - 1 for width in range(33)]


class _Frame:
    """One frame on its way out."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.out = bytearray()
        self.repeats = (1, 4, 8)
        self.huffman: tuple[list[tuple[int, int]], int] | None = None
        self.tables: list[tuple[list[Entry], int] | None] = [None, None, None]

    def content(self) -> bytes:
        data = self.data
        at, size = _frame_header(data, 0)
        last = False
        while not last:
            last, kind, length = _block_header(data, at)
            at += 3
            if kind == 0:
                self.out += data[at : at + length]
                at += length
            elif kind == 1:
                self.out += data[at : at + 1] * length
                at += 1
            else:
                self.block(at, at + length)
                at += length
            if len(self.out) > FRAME_MAX:
                raise BadDataError(f"zstd: a frame holds more than {FRAME_MAX} bytes")
        if size not in (-1, len(self.out)):
            raise BadDataError(f"zstd: a frame holds {len(self.out)} bytes and says {size}")
        return bytes(self.out)

    def block(self, at: int, end: int) -> None:
        literals, at = self.literals(at, end)
        data = self.data
        count = data[at]
        at += 1
        if count > 127:
            count = (count - 128 << 8) + data[at]
            at += 1
            if count >= 0x7F00:  # the first byte was 255
                count = data[at - 1] + (data[at] << 8) + 0x7F00
                at += 1
        if not count:
            if at != end:
                raise BadDataError("zstd: a block is longer than what it holds")
            self.out += literals
            return
        modes = data[at]
        at += 1
        if modes & 3:
            raise BadDataError("zstd: a reserved mode of sequences")
        for which in range(3):
            at = self.table(which, modes >> 6 - 2 * which & 3, at, end)
        self.sequences(literals, count, data[at:end])

    def table(self, which: int, mode: int, at: int, end: int) -> int:
        bases, _, _, log = KINDS[which]
        if mode == 0:
            self.tables[which] = PREDEFINED[which]
        elif mode == 1:
            self.tables[which] = _codes(bases, [(self.data[at], 0, 0)]), 0
            at += 1
        elif mode == 2:
            counts, accuracy, at = _fse_counts(self.data, at, end, len(bases), log)
            self.tables[which] = _codes(bases, _fse_states(counts, accuracy)), accuracy
        elif self.tables[which] is None:
            raise BadDataError("zstd: a table is repeated that was not there")
        return at

    def literals(self, at: int, end: int) -> tuple[bytes, int]:
        data = self.data
        kind, form = data[at] & 3, data[at] >> 2 & 3
        if kind < 2:
            width = (1, 2, 1, 3)[form]
            size = int.from_bytes(data[at : at + width], "little") >> (3, 4, 3, 4)[form]
            at += width
            stored = size if kind == 0 else 1
            if size > BLOCK_MAX or at + stored > end:
                raise BadDataError("zstd: literals are cut off")
            return data[at : at + stored] * (1 if kind == 0 else size), at + stored
        width, bits = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
        word = int.from_bytes(data[at : at + width], "little") >> 4
        size, packed = word & MASKS[bits], word >> bits
        at += width
        after = at + packed
        if after > end or size > BLOCK_MAX:
            raise BadDataError("zstd: literals are cut off")
        if kind == 2:
            at = self.huffman_tree(at, after)
        if self.huffman is None:
            raise BadDataError("zstd: a Huffman tree is repeated that was not there")
        out = bytearray()
        if form == 0:
            _huffman(data[at:after], self.huffman, out, size)
            return bytes(out), after
        jumps = struct.unpack_from("<HHH", data, at)
        at += 6
        part = (size + 3) // 4
        for number in range(4):
            stop = at + jumps[number] if number < 3 else after
            if stop > after:
                raise BadDataError("zstd: literals are cut off")
            _huffman(data[at:stop], self.huffman, out, part if number < 3 else size - 3 * part)
            at = stop
        return bytes(out), after

    def huffman_tree(self, at: int, end: int) -> int:
        head = self.data[at]
        at += 1
        if head >= 128:
            count = head - 127
            after = at + (count + 1) // 2
            packed = self.data[at:after]
            weights = [half for byte in packed for half in (byte >> 4, byte & 15)][:count]
        else:
            after = at + head
            weights = _huffman_weights(self.data, at, after)
        total = sum(1 << weight - 1 for weight in weights if weight)
        depth = total.bit_length()
        rest = (1 << depth) - total
        if after > end or not 0 < depth <= 11 or rest & rest - 1:
            raise BadDataError("zstd: a Huffman tree is damaged")
        weights.append(rest.bit_length())
        table: list[tuple[int, int]] = []
        for weight in range(1, depth + 1):
            for symbol, own in enumerate(weights):
                if own == weight:
                    table += [(symbol, depth + 1 - weight)] * (1 << weight - 1)
        if len(table) != 1 << depth:
            raise BadDataError("zstd: a Huffman tree is damaged")
        self.huffman = table, depth
        return after

    def sequences(  # noqa: C901 - one loop, for speed
        self, literals: bytes, count: int, stream: bytes
    ) -> None:
        data, at = _bits_of(stream)
        (ll_table, ll_log), (of_table, of_log), (ml_table, ml_log) = self.tables  # type: ignore[misc]
        word = int.from_bytes(data, "little")
        at -= ll_log
        ll_state = word >> at & MASKS[ll_log]
        at -= of_log
        of_state = word >> at & MASKS[of_log]
        at -= ml_log
        ml_state = word >> at & MASKS[ml_log]
        out, masks, from_bytes = self.out, MASKS, int.from_bytes
        first, second, third = self.repeats
        done = 0
        for index in range(count - 1, -1, -1):
            if at < 128:
                raise BadDataError("zstd: the sequences are cut off")
            # 89 bits at most belong to one sequence.
            low = at - 96
            word = from_bytes(data[low >> 3 : at + 7 >> 3], "little") >> (low & 7)
            offset, width, of_bits, of_base = of_table[of_state]
            left = 96 - width
            offset += word >> left & masks[width]
            match, width, ml_bits, ml_base = ml_table[ml_state]
            left -= width
            match += word >> left & masks[width]
            length, width, ll_bits, ll_base = ll_table[ll_state]
            left -= width
            length += word >> left & masks[width]
            if index:
                left -= ll_bits
                ll_state = ll_base + (word >> left & masks[ll_bits])
                left -= ml_bits
                ml_state = ml_base + (word >> left & masks[ml_bits])
                left -= of_bits
                of_state = of_base + (word >> left & masks[of_bits])
            at += left - 96
            if offset > 3:
                third, second, first = second, first, offset - 3
            else:
                if not length:
                    offset += 1
                if offset == 2:
                    second, first = first, second
                elif offset == 3:
                    third, second, first = second, first, third
                elif offset == 4:
                    third, second, first = second, first, first - 1
            if length:
                out += literals[done : done + length]
                done += length
            start = len(out) - first
            if start < 0 or first < 1:
                raise BadDataError("zstd: a match begins before its frame")
            if first >= match:
                out += out[start : start + match]
            else:
                out += (out[start:] * (match // first + 1))[:match]
        if at != 128 or done > len(literals):
            raise BadDataError("zstd: the sequences do not end where they should")
        out += literals[done:]
        self.repeats = first, second, third


def _huffman_weights(data: bytes, at: int, end: int) -> list[int]:
    counts, accuracy, at = _fse_counts(data, at, end, 256, 6)
    states = _fse_states(counts, accuracy)
    stream, left = _bits_of(data[at:end])
    word = int.from_bytes(stream, "little")
    mask = (1 << accuracy) - 1
    left -= accuracy
    mine = word >> left & mask
    left -= accuracy
    other = word >> left & mask
    weights: list[int] = []
    while len(weights) < 256:
        symbol, width, base = states[mine]
        weights.append(symbol)
        left -= width
        if left < 128:
            weights.append(states[other][0])
            return weights
        mine, other = other, base + (word >> left & (1 << width) - 1)
    raise BadDataError("zstd: a Huffman tree has too many weights")


def _huffman(
    data: bytes, tree: tuple[list[tuple[int, int]], int], out: bytearray, size: int
) -> None:
    table, depth = tree
    stream, at = _bits_of(data)
    mask, from_bytes, append = (1 << depth) - 1, int.from_bytes, out.append
    todo = size
    while todo:
        if at < 128:
            raise BadDataError("zstd: Huffman codes are cut off")
        # As many codes at a time as 120 bits hold for sure.
        low = at - 120
        word = from_bytes(stream[low >> 3 : at + 7 >> 3], "little") >> (low & 7)
        left = 120 - depth
        batch = min(todo, 120 // depth)
        for _ in range(batch):
            symbol, width = table[word >> left & mask]
            append(symbol)
            left -= width
        todo -= batch
        at += left + depth - 120
    if at != 128:
        raise BadDataError("zstd: Huffman codes do not end where they should")


# ---------------------------------------------------------------------------------------------------------
# Ed25519 (RFC 8032): verification only. Nothing here is secret, so nothing here takes constant time.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]  # X, Y, Z, X*Y/Z
Niels = tuple[int, int, int]  # y + x, y - x, 2dxy
NEUTRAL: Point = (0, 1, 1, 0)


def _decode_point(raw: bytes) -> tuple[int, int] | None:
    """The point in its one canonical spelling; None for all else."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if len(raw) != 32 or y >= P:
        return None
    u, w = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(w, 3, P) * pow(u * pow(w, 7, P), (P - 5) // 8, P) % P
    if (w * x * x - u) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (w * x * x - u) % P or (not x and sign):
        return None
    return (P - x if x & 1 != sign else x), y


def _add(p: Point, q: Niels) -> Point:
    x1, y1, z1, t1 = p
    a = (y1 - x1) * q[1]
    b = (y1 + x1) * q[0]
    c = t1 * q[2]
    d = z1 + z1
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _niels(x: int, y: int) -> Niels:
    return (y + x) % P, (y - x) % P, 2 * D * x * y % P


def _affine(points: Sequence[Point]) -> list[tuple[int, int]]:
    """With one inversion for all of them."""
    before, product = [], 1
    for point in points:
        before.append(product)
        product = product * point[2] % P
    inverse = pow(product, P - 2, P)
    found = []
    for (x, y, z, _), others in zip(reversed(points), reversed(before)):
        own = inverse * others % P
        inverse = inverse * z % P
        found.append((x * own % P, y * own % P))
    return found[::-1]


class _Multiples:
    """A point's multiples 1 to 15 at each of 64 hexadecimal digits, so that a product is 64 sums."""

    def __init__(self, x: int, y: int) -> None:
        self.rows: list[list[Niels]] = []
        base = (x, y)
        for _ in range(64):
            step = _niels(*base)
            points = [(base[0], base[1], 1, base[0] * base[1] % P)]
            for _ in range(15):
                points.append(_add(points[-1], step))
            *row, base = _affine(points)
            self.rows.append([_niels(*point) for point in row])

    def add(self, number: int, point: Point) -> Point:
        """point + number * self"""
        for row in self.rows:
            digit = number & 15
            number >>= 4
            if digit:
                point = _add(point, row[digit - 1])
        return point


_base: list[_Multiples] = []


class Ed25519Key:
    """A public key. Raises BadDataError for bytes that are none, or a point of small order."""

    def __init__(self, raw: bytes) -> None:
        point = _decode_point(raw)
        if point is None:
            raise BadDataError("the public key is no point of Ed25519")
        self.raw = raw
        x, y = point
        self._negative = _Multiples(P - x if x else 0, y)
        eight = self._negative.add(8, NEUTRAL)
        if not eight[0] % P:
            raise BadDataError("the public key is a point of small order")

    def verify(self, signature: bytes, message: bytes) -> bool:
        if len(signature) != 64:
            return False
        s = int.from_bytes(signature[32:], "little")
        if s >= L:
            return False
        if not _base:
            y = 4 * pow(5, P - 2, P) % P
            base = _decode_point(y.to_bytes(32, "little"))
            assert base is not None
            _base.append(_Multiples(*base))
        hashed = hashlib.sha512(signature[:32] + self.raw + message).digest()
        k = int.from_bytes(hashed, "little") % L
        # R is compared as bytes: what is no canonical point is never equal.
        (x, y), *_ = _affine([self._negative.add(k, _base[0].add(s, NEUTRAL))])
        return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


# ---------------------------------------------------------------------------------------------------------
# The tree (RFC 6962) as a frontier: a size and the roots of its perfect subtrees, largest first.


class Frontier:
    """Grows by leaf hashes; `nodes` keeps what the tiles of level 1 and above hold, from `start` on."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = self.start = size
        self.peaks = list(peaks)
        self.nodes: list[list[bytes]] = []

    def extend(self, hashes: list[bytes]) -> None:
        size, new, level = self.size, hashes, 0
        held, peaks = self.peaks, []
        sha256 = hashlib.sha256
        while new or size >> level:
            if level and level % 8 == 0:
                while len(self.nodes) < level // 8:
                    self.nodes.append([])
                self.nodes[level // 8 - 1] += new
            nodes = [held.pop(), *new] if size >> level & 1 else new
            if len(nodes) % 2:
                peaks.append(nodes[-1])
            new = [sha256(b"\1" + a + b).digest() for a, b in zip(nodes[0::2], nodes[1::2])]
            level += 1
        self.size = size + len(hashes)
        self.peaks = peaks[::-1]

    def root(self) -> bytes:
        return root_of(self.peaks)


def root_of(peaks: Sequence[bytes]) -> bytes:
    root = peaks[-1] if peaks else hashlib.sha256().digest()
    for peak in reversed(peaks[:-1]):
        root = hashlib.sha256(b"\1" + peak + root).digest()
    return root


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn = index, size - 1
    for value in proof:
        if not sn:
            return False
        if fn & 1 or fn == sn:
            leaf = hashlib.sha256(b"\1" + value + leaf).digest()
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            leaf = hashlib.sha256(b"\1" + leaf + value).digest()
        fn >>= 1
        sn >>= 1
    return not sn and leaf == root


# ---------------------------------------------------------------------------------------------------------
# Signed notes (C2SP signed-note and tlog-checkpoint).


class Key(NamedTuple):
    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        raw = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(raw).digest()[:4]

    def __str__(self) -> str:
        raw = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{raw}"


class Note(NamedTuple):
    text: str
    #: Name, key id, signature.
    signatures: list[tuple[str, bytes, bytes]]


class Head(NamedTuple):
    """A tree head. `where` is the file that it was read from."""

    origin: str
    size: int
    root: bytes
    where: str
    note: Note


def unbase64(text: str) -> bytes:
    """Only the one canonical spelling is read."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise BadDataError(f"{text[:60]!r} is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise BadDataError(f"{text[:60]!r} is not base64")
    return raw


def parse_key(text: str) -> Key:
    name, _, rest = text.strip().partition("+")
    given, _, packed = rest.partition("+")
    raw = unbase64(packed)
    if not name or any(c.isspace() for c in name) or len(raw) != 33 or raw[0] not in (1, 4):
        raise BadDataError(f"{text.strip()[:120]!r} is no verifier key (NAME+ID+KEY)")
    key = Key(name, raw[0], raw[1:])
    if key.id.hex() != given:
        raise BadDataError(
            f"the verifier key {text.strip()[:120]!r} was changed: its id is {key.id.hex()}"
        )
    return key


def parse_notes(raw: bytes) -> list[Note]:
    """Notes without empty lines in their text, one after another."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadDataError("it is not UTF-8") from None
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise BadDataError("it is not made of lines of text")
    lines = text[:-1].split("\n")
    notes: list[Note] = []
    at = 0
    while at < len(lines):
        start = at
        while at < len(lines) and lines[at]:
            at += 1
        body = "".join(line + "\n" for line in lines[start:at])
        at += 1
        signatures = []
        while at < len(lines) and lines[at].startswith("\u2014 "):
            name, _, packed = lines[at][2:].partition(" ")
            value = unbase64(packed)
            if not name or "+" in name or len(value) < 5:
                raise BadDataError(f"{lines[at][:80]!r} is no signature line")
            signatures.append((name, value[:4], value[4:]))
            at += 1
        if not body or not signatures:
            raise BadDataError("it is no signed note")
        notes.append(Note(body, signatures))
        if at < len(lines) - 1 and not lines[at]:
            at += 1  # an empty line may stand between two notes
    return notes


def parse_head(note: Note, where: str) -> Head:
    lines = note.text.split("\n")[:-1]
    if len(lines) < 3 or not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]):
        raise BadDataError("its text is no tree head")
    root = unbase64(lines[2])
    if len(root) != 32:
        raise BadDataError("its root is not 32 bytes")
    return Head(lines[0], int(lines[1]), root, where, note)


class Keys:
    """The keys that are trusted, and their verdict on notes."""

    def __init__(self, keys: Sequence[Key], check: Check | None = None) -> None:
        self.keys = list(keys)
        self.check = check or _pure

    def signers(self, note: Note) -> list[Key]:
        """The logs' keys that signed. Raises BadDataError where a signature of a trusted key is wrong."""
        return [key for key, _ in self._verified(note) if key.kind == 1]

    def newest(self, note: Note) -> int:
        """The number of the newest key that signed, as the keys are listed. Raises as `signers` does, and
        ValueError where none of them did."""
        return max(self.keys.index(key) for key in self.signers(note))

    def witnesses(self, note: Note) -> dict[str, int]:
        """The trusted witnesses that signed, and when they saw the head (seconds since 1970)."""
        return {
            key.name: int.from_bytes(value[:8], "big")
            for key, value in self._verified(note)
            if key.kind == 4
        }

    def _verified(self, note: Note) -> list[tuple[Key, bytes]]:
        found = []
        for name, key_id, value in note.signatures:
            for key in self.keys:
                if (key.name, key.id) == (name, key_id):
                    if not self._good(key, note.text.encode(), value):
                        raise BadDataError(f"the signature of {name} ({key_id.hex()}) is wrong")
                    found.append((key, value))
        return found

    def _good(self, key: Key, message: bytes, value: bytes) -> bool:
        if key.kind == 4:  # a witness, which signs the time too
            seconds = int.from_bytes(value[:8], "big")
            message = f"cosignature/v1\ntime {seconds}\n".encode() + message
            value = value[8:]
        return len(value) == 64 and self.check(key.public, value, message)


@functools.lru_cache(maxsize=64)
def _opened(public: bytes) -> Ed25519Key:
    return Ed25519Key(public)


@functools.lru_cache(maxsize=4096)  # the proofs of an export end with the same head
def _pure(public: bytes, signature: bytes, message: bytes) -> bool:
    return _opened(public).verify(signature, message)


# ---------------------------------------------------------------------------------------------------------
# Records: [position, type, job, version, attempt, at, by, causation, correlation, traceparent, tenant,
# queue, schema, data] in msgpack, all but the position as the bytes that the log holds.

FIELDS = [
    "position",
    "type",
    "job",
    "version",
    "attempt",
    "at",
    "by",
    "causation",
    "correlation",
    "traceparent",
    "tenant",
    "queue",
    "schema",
    "data",
]


def unpack_record(record: bytes) -> dict[str, Any]:
    """The fields of a record: text, and `data` as plain values. Raises BadDataError."""
    values, end = _msgpack(record, 0)
    if end != len(record) or not isinstance(values, list) or len(values) != len(FIELDS):
        raise BadDataError("a record is not one of Triton's")
    found = dict(zip(FIELDS, values))
    try:
        for name in FIELDS[1:-1]:
            found[name] = found[name].decode()
        for name in ("version", "attempt", "at", "schema"):
            found[name] = int(found[name])
    except (AttributeError, ValueError):
        raise BadDataError("a record is not one of Triton's") from None
    found["data"] = _msgpack(found["data"], 0)[0]
    return found


def _msgpack(raw: bytes, at: int) -> tuple[Any, int]:
    try:
        return _msgpack_value(raw, at)
    except (LookupError, struct.error, UnicodeDecodeError, RecursionError, TypeError):
        raise BadDataError("a record is not msgpack") from None


def _msgpack_value(raw: bytes, at: int) -> tuple[Any, int]:
    head = raw[at]
    at += 1
    if head < 0x80 or head >= 0xE0:
        return head - (256 if head >= 0xE0 else 0), at
    if head < 0xC0:
        kind, size = _SHORT[head >> 4]
        return _msgpack_part(kind, raw, at, head & size)
    if head in _NUMBERS:
        form = _NUMBERS[head]
        return struct.unpack_from(form, raw, at)[0], at + struct.calcsize(form)
    if head in _CONSTANTS:
        return _CONSTANTS[head], at
    if 0xD4 <= head <= 0xD8:
        return _msgpack_part("ext", raw, at, 1 << head - 0xD4)
    kind, form = _SIZED[head]
    (size,) = struct.unpack_from(form, raw, at)
    return _msgpack_part(kind, raw, at + struct.calcsize(form), size)


def _msgpack_part(kind: str, raw: bytes, at: int, size: int) -> tuple[Any, int]:
    if kind in ("list", "map"):
        values = []
        for _ in range(size * (2 if kind == "map" else 1)):
            value, at = _msgpack_value(raw, at)
            values.append(value)
        return (values if kind == "list" else dict(zip(values[0::2], values[1::2]))), at
    begin = at + (1 if kind == "ext" else 0)
    if begin + size > len(raw):
        raise IndexError
    value = raw[begin : begin + size]
    return (value.decode() if kind == "str" else value), begin + size


_SHORT = {8: ("map", 15), 9: ("list", 15), 10: ("str", 31), 11: ("str", 31)}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = dict(
    zip(
        [0xCA, 0xCB, *range(0xCC, 0xD4)],
        [">f", ">d", ">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q"],
    )
)
_SIZED = {
    **{0xC4 + n: ("bin", form) for n, form in enumerate((">B", ">H", ">I"))},
    **{0xC7 + n: ("ext", form) for n, form in enumerate((">B", ">H", ">I"))},
    **{0xD9 + n: ("str", form) for n, form in enumerate((">B", ">H", ">I"))},
    **{0xDC + n: ("list", form) for n, form in enumerate((">H", ">I"))},
    **{0xDE + n: ("map", form) for n, form in enumerate((">H", ">I"))},
}


# ---------------------------------------------------------------------------------------------------------
# The archive: log/NAMESPACE/pPARTITION/EPOCH/{segments,tile,heads}/..., checkpoint, adopted;
# log/NAMESPACE/keys/NUMBER.

TREE = re.compile(r"log/([^/]+)/p(0|[1-9][0-9]*)/([^/]+)/")
SEGMENT = re.compile(r"segments/(\d{20})-(\d{20})\.(zst|json|leaves)")
TAMPERED, INCOMPLETE, UNKNOWN, WHOLE = "tampered", "incomplete", "cannot tell", "whole"
EXITS = {WHOLE: 0, TAMPERED: 1, INCOMPLETE: 2, UNKNOWN: 3}
EXPIRED = b"segment.expired"
ROTATED = b"key.rotated"
KEYS_HEADER = "triton signing keys v1"
ADOPTED_HEADER = "triton adopted log v1"
PROOF_HEADER = "c2sp.org/tlog-proof@v1"


class Finding(NamedTuple):
    """What is not as it must be. Positions are of the first and the last event that it may concern."""

    verdict: str
    log: str
    position: int
    until: int
    sentence: str


class Folder:
    """A copy of the archive in a folder."""

    def __init__(self, root: str) -> None:
        self._root = root

    def list(self, prefix: str) -> builtins.list[str]:
        """Keys that begin with `prefix`, which is empty or ends with a slash, sorted."""
        found = []
        for folder, _, names in os.walk(os.path.join(self._root, *prefix.split("/"))):
            inner = os.path.relpath(folder, self._root).replace(os.sep, "/")
            found += [
                f"{inner}/{name}" for name in names if os.path.isfile(os.path.join(folder, name))
            ]
        return sorted(found)

    def read(self, key: str) -> bytes:
        """Raises OSError, also for what is no file: a pipe would be waited for."""
        path = os.path.join(self._root, *key.split("/"))
        if os.path.exists(path) and not os.path.isfile(path):
            raise FileNotFoundError(f"{key} is no regular file")
        with open(path, "rb") as file:
            return file.read()


class Options(NamedTuple):
    #: Position, or time in microseconds since 1970, from which on records are read.
    since: int = 0
    since_at: int = 0
    #: Signed events behind the last segment are no finding.
    sealed: bool = False
    #: Unpacks one zstd frame; checks (key, signature, message) of Ed25519.
    unpack: Unpack = zstd_unpack
    check: Check | None = None


class TreeReport:
    """What was seen of one log: a partition in one of its lives."""

    def __init__(self, path: str, partition: int, epoch: str) -> None:
        self.path, self.partition, self.epoch = path, partition, epoch
        self.origin = ""
        #: The positions whose records were read, and those that segments are there for.
        self.first = 0
        self.last = 0
        self.sealed = 0
        self.events = 0
        self.segments = 0
        self.heads = 0
        self.newest_head = 0
        #: The end of the live log, where that was read too.
        self.live = 0
        #: The last position that the log which was adopted after this one shares with it.
        self.ended: int | None = None
        #: First and last position of what expired, and the position of the event that says so.
        self.expired: list[tuple[int, int, int]] = []
        #: Position of each event key.rotated, and what it says: previous, key, size.
        self.rotated: list[tuple[int, dict[str, Any]]] = []
        #: Witness -> the size of the largest head that it signed.
        self.witnesses: dict[str, int] = {}
        #: Of sizes that heads were signed for; SHA-256 of each manifest; the tree at the end.
        self.roots: dict[int, bytes] = {}
        self.manifests: dict[tuple[int, int], str] = {}
        #: The manifests themselves; and the last position that events declare to have expired.
        self.described: dict[tuple[int, int], dict[str, Any]] = {}
        self.declared = 0
        self.frontier = Frontier()
        #: Each head, and the number of the newest key that signed it.
        self.signed: list[tuple[Head, int]] = []

    def document(self) -> dict[str, Any]:
        inner = ("roots", "manifests", "described", "declared", "frontier", "signed")
        return {name: value for name, value in vars(self).items() if name not in inner}


class Tree:
    """Checks one log. Stops at what contradicts itself; goes on behind what is missing, where it can."""

    def __init__(
        self, source: Any, prefix: str, keys: Keys, options: Options, asked: dict[int, list[Head]]
    ) -> None:
        match = TREE.fullmatch(prefix)
        assert match
        self.source, self.prefix, self.keys, self.options = source, prefix, keys, options
        self.path = f"{match[1]}/{match[2]}/{match[3]}"
        self.report = TreeReport(self.path, int(match[2]), match[3])
        self.asked = asked
        self.findings: list[Finding] = []
        self.files = source.list(prefix)
        self.wanted: dict[int, list[Head]] = {}
        self.manifests: dict[tuple[int, int], dict[str, Any]] = {}
        self.frontier = self.report.frontier
        self.good = 0  # the last size whose root is a signed one
        self.gone: list[dict[str, Any]] = []  # manifests whose segments are not there
        # position and data of each event segment.expired
        self.declared: list[tuple[int, dict[str, Any]]] = []
        self.leaves: dict[tuple[int, int], str] = {}  # SHA-256 of the leaf hashes that stayed
        # bounds of a segment -> the event that rightly says that it expired: its position, whether it names
        # the manifest and so all before, its data; and those of whom only something wrong is said
        self.proved: dict[tuple[int, int], tuple[int, bool, dict[str, Any]]] = {}
        self.misdeclared: set[tuple[int, int]] = set()
        self.marks: set[int] = set()  # sizes whose roots are of interest
        self.strangers: list[tuple[Head, str]] = []  # heads that nobody signed who is trusted

    def find(self, verdict: str, first: int, last: int, sentence: str) -> None:
        self.findings.append(Finding(verdict, self.path, first, max(first, last), sentence))

    def run(self) -> None:
        try:
            self.read_heads()
            ranges = self.read_manifests()
            self.report.sealed = ranges[-1][1] if ranges else 0
            self.read_segments(ranges)
            self.check_rotations()
            self.check_coverage()
        except Stop:
            pass

    def stop(self, first: int, last: int, sentence: str) -> NoReturn:
        self.find(TAMPERED, first, last, sentence)
        raise Stop

    # Heads

    def read_heads(self) -> None:
        objects = [key for key in self.files if key.startswith(self.prefix + "heads/")]
        objects.sort(key=lambda key: key.rpartition("-")[2])  # by the time in their names
        newest = 0
        last_key = 0
        for key in objects:
            for head in self.heads_in(key):
                last_key = self.accept(head, last_key)
                newest = max(newest, head.size)
        checkpoint = self.prefix + "checkpoint"
        if checkpoint in self.files:
            for head in self.heads_in(checkpoint):
                self.accept(head, last_key)
                if head.size < newest:
                    self.find(
                        INCOMPLETE,
                        head.size + 1,
                        newest,
                        f"the file checkpoint is an old one of size {head.size}: heads up to size "
                        f"{newest} were signed",
                    )
                newest = max(newest, head.size)
        self.report.newest_head = newest
        self.take_asked()
        self.judge_strangers()
        self.judge_witnesses()

    def take_asked(self) -> None:
        """The auditor's own heads must be of this history too."""
        for size, heads in self.asked.items():
            for head in heads:
                self.witnessed(head)
                for other in self.wanted.get(size, []):
                    self.compare(head, other)
            self.wanted.setdefault(size, []).extend(heads)

    def judge_strangers(self) -> None:
        for stranger, signers in self.strangers:
            if not self.report.heads:
                text = f"no head of this log is signed by a trusted key, only by {signers}"
                self.find(UNKNOWN, 1, 1, text)
                break
            self.stop(
                1,
                stranger.size,
                f"the head of size {stranger.size} in {stranger.where} is signed by {signers}, whom "
                "nobody trusts here",
            )
        if not self.report.heads and not self.strangers:
            self.find(UNKNOWN, 1, 1, "no head of this log is signed by anybody")

    def heads_in(self, key: str) -> list[Head]:
        short = key[len(self.prefix) :]
        try:
            return [parse_head(note, short) for note in parse_notes(self.source.read(key))]
        except BadDataError as error:
            self.stop(
                self.good + 1, self.good + 1, f"the file {short} holds no signed head: {error}"
            )
        except OSError as error:
            self.find(INCOMPLETE, 1, 1, f"the file {short} cannot be read ({error.strerror})")
        return []

    def accept(self, head: Head, last_key: int) -> int:
        """Takes a head in; answers the number of the key that signed it."""
        try:
            signers = self.keys.signers(head.note)
        except BadDataError as error:
            self.stop(
                1, head.size, f"the head of size {head.size} in {head.where} is forged: {error}"
            )
        if not signers:
            names = ", ".join(
                f"{name} ({key_id.hex()})" for name, key_id, _ in head.note.signatures
            )
            self.strangers.append((head, names))
            return last_key
        origin = f"{signers[0].name}/{self.path}"
        if head.origin != origin:
            self.stop(
                1,
                head.size,
                f"the head of size {head.size} in {head.where} is of the log {head.origin}, "
                f"expected {origin}",
            )
        number = max(self.keys.keys.index(key) for key in signers)
        if number < last_key:
            self.stop(
                1,
                head.size,
                f"the head of size {head.size} in {head.where} is signed by a key that was replaced",
            )
        for other in self.wanted.get(head.size, []):
            self.compare(head, other)
        self.report.signed.append((head, number))
        self.report.origin = origin
        self.report.heads += 1
        self.witnessed(head)
        self.wanted.setdefault(head.size, []).append(head)
        return number

    def witnessed(self, head: Head) -> None:
        for name in self.keys.witnesses(head.note):
            self.report.witnesses[name] = max(head.size, self.report.witnesses.get(name, 0))

    def judge_witnesses(self) -> None:
        """Each witness that is trusted must have seen a head of this history."""
        for key in self.keys.keys:
            if key.kind == 4 and self.report.heads and key.name not in self.report.witnesses:
                self.find(UNKNOWN, 1, 1, f"the witness {key.name} signed no head of this copy")

    def compare(self, head: Head, other: Head) -> None:
        if head.root != other.root:
            self.stop(
                1,
                head.size,
                f"two histories were signed: the heads of size {head.size} in {other.where} and "
                f"{head.where} have different roots",
            )

    def take_declared(self, block: bytes, seen: Seen) -> None:
        """Remembers what events of this block say of segments that expired, and of keys that follow."""
        count = seen.types.get(EXPIRED, 0) + seen.types.get(ROTATED, 0)
        if count == seen.declared:
            return
        seen.declared = count
        for record in split_records(block):
            fields = unpack_record(record)
            if not isinstance(fields["data"], dict):
                continue
            if fields["type"] == EXPIRED.decode():
                self.declared.append((fields["position"], fields["data"]))
            elif fields["type"] == ROTATED.decode():
                self.report.rotated.append((fields["position"], fields["data"]))

    def check_rotations(self) -> None:
        """What the log says of keys that follow one another must be so."""
        if not self.report.rotated:
            return
        asked = [head for heads in self.asked.values() for head in heads]
        signed = self.report.signed + [(head, self.keys.newest(head.note)) for head in asked]
        for position, said in self.report.rotated:
            wrong = wrong_rotation(self.keys, said, signed)
            if wrong is not None:
                verdict, sentence = wrong
                self.find(verdict, position, position, f"{sentence} (position {position})")

    # Manifests

    def read_manifests(self) -> list[tuple[int, int]]:
        """The ranges of all segments, checked as a chain."""
        found: dict[tuple[int, int], set[str]] = {}
        for key in self.files:
            match = SEGMENT.fullmatch(key[len(self.prefix) :])
            if match:
                found.setdefault((int(match[1]), int(match[2])), set()).add(match[3])
        if found and found[max(found)] == {"zst"}:
            del found[max(found)]  # its manifest comes last: it was being sealed
        after, previous = 1, ""
        for first, last in sorted(found):
            kinds = found[first, last]
            if first > last or first < after:
                self.stop(
                    first,
                    last,
                    f"the segment {name_of(first, last)} holds positions that another one holds",
                )
            if first > after:
                self.missing(after, first - 1)
                previous = ""
            after = last + 1
            if "json" not in kinds:
                self.find(
                    INCOMPLETE,
                    first,
                    last,
                    f"the manifest of the segment {name_of(first, last)} is missing",
                )
                previous = ""
                continue
            manifest, previous = self.read_manifest(first, last, previous)
            self.report.manifests[first, last] = previous
            self.report.described[first, last] = manifest
            manifest["stored"] = "zst" in kinds
            manifest["leaves"] = "leaves" in kinds
            self.manifests[first, last] = manifest
        return sorted(found)

    def missing(self, first: int, last: int) -> None:
        self.find(
            INCOMPLETE, first, last, f"positions {first} to {last} are in no segment of this copy"
        )

    def read_manifest(self, first: int, last: int, previous: str) -> tuple[dict[str, Any], str]:
        name = name_of(first, last)
        raw = self.source.read(f"{self.prefix}segments/{name}.json")
        try:
            manifest = json_of(raw)
            said = [manifest[field] for field in MANIFEST_FIELDS]
            types = [type(value) for value in said]
        except (ValueError, KeyError, TypeError) as error:
            self.stop(first, last, f"the manifest {name}.json is none ({error})")
        if types != list(MANIFEST_FIELDS.values()):
            self.stop(first, last, f"the manifest {name}.json has a field of the wrong kind")
        if manifest["format"] != 1:
            self.find(
                UNKNOWN, first, last, f"the manifest {name}.json has format {manifest['format']}"
            )
            raise Stop
        expected = {
            "partition": self.report.partition,
            "epoch": self.report.epoch,
            "first_position": first,
            "last_position": last,
            "events": last - first + 1,
            "key": f"{self.prefix}segments/{name}.zst",
        }
        if self.report.origin:
            expected["origin"] = self.report.origin
        if previous or first == 1:
            expected["previous"] = previous
        for field, value in expected.items():
            if manifest[field] != value:
                self.stop(
                    first,
                    last,
                    f"the manifest {name}.json says {field} {manifest[field]!r}, expected {value!r}"
                    + (": it or the manifest before was changed" if field == "previous" else ""),
                )
        return manifest, hashlib.sha256(raw).hexdigest()

    # Segments

    def read_segments(self, ranges: list[tuple[int, int]]) -> None:
        since, at = self.options.since, self.options.since_at
        begun = False
        for first, last in ranges:
            manifest = self.manifests.get((first, last))
            if not begun and (last < since or (manifest and manifest["last_at"] < at)):
                continue
            if first != self.frontier.size + 1 and not self.resume(first):
                self.find(
                    UNKNOWN,
                    first,
                    last,
                    f"the tree before position {first} is not known, as what was there is missing",
                )
                continue
            begun = True
            if manifest is not None and not manifest["stored"]:
                self.gone.append(manifest)
                if manifest["leaves"]:
                    self.read_leaves(manifest)
                continue
            self.report.first = self.report.first or first
            self.read_segment(first, last, manifest or {})
        last = self.report.sealed
        at_end = begun and self.gone and self.gone[-1]["last_position"] == last
        if at_end and self.frontier.size < last and not self.resume(last + 1):
            text = f"the tree of {last} events is not known, as its last ones are missing"
            self.find(UNKNOWN, self.frontier.size + 1, last, text)

    def resume(self, first: int) -> bool:
        """Takes the tree before a position from the manifest before it; whether it could.

        Nothing is believed of it: it must lead to the roots of signed heads.
        """
        size = first - 1
        for (_, last), manifest in self.manifests.items():
            peaks = hashes_of(manifest["peaks"]) if last == size else []
            if len(peaks) == bin(size).count("1") and root_of(peaks).hex() == manifest["root"]:
                self.check_tiles()
                self.frontier = self.report.frontier = Frontier(size, peaks)
                self.good = size if self.is_signed(size) else self.good
                return True
        return False

    def read_leaves(self, manifest: dict[str, Any]) -> None:
        """Takes in the leaf hashes that stay of a segment that expired. They prove themselves: they must lead
        to the roots that were signed."""
        first, last = manifest["first_position"], manifest["last_position"]
        name = name_of(first, last)
        try:
            raw = self.source.read(f"{self.prefix}segments/{name}.leaves")
        except OSError as error:
            text = f"the file {name}.leaves cannot be read ({error.strerror})"
            self.find(INCOMPLETE, first, last, text)
            return
        if len(raw) != 32 * (last - first + 1):
            text = (
                f"the file {name}.leaves holds {len(raw)} bytes, expected {32 * (last - first + 1)}"
            )
            self.stop(first, last, text)
        self.leaves[first, last] = hashlib.sha256(raw).hexdigest()
        self.grow([raw[at : at + 32] for at in range(0, len(raw), 32)], "")
        self.check_root(manifest, f"the leaf hashes {name}.leaves do")

    def judge_declared(self, others: Sequence[Tree]) -> None:
        """What is declared to have expired must be so: a segment of these bounds, hash, root and manifest.
        `others` are all logs of the same partition, this one too: an event may be in any of them."""
        place = self.report.partition, self.report.epoch
        wrong: dict[tuple[int, int], str] = {}
        for position, data in (each for other in others for each in other.declared):
            if (data.get("partition"), data.get("epoch")) != place:
                continue
            first, last = data.get("first"), data.get("last")
            event = f"the event segment.expired at position {position} declares"
            if not (isinstance(first, int) and isinstance(last, int) and first <= last):
                self.find(TAMPERED, 1, 1, f"{event} nothing that can be")
                continue
            manifest = self.manifests.get((first, last))
            differs = self.contradicts(manifest, data) if manifest else ""
            if manifest and not differs:
                self.proved[first, last] = (position, bool(data.get("manifest")), data)
            elif manifest:
                wrong[first, last] = (
                    f"{event} another {differs} for {first} to {last} than is proved"
                )
            elif any(begin <= last and first <= end for begin, end in self.manifests):
                text = f"{event} that {first} to {last} expired, and no segment has these bounds"
                self.find(TAMPERED, first, last, text)
        for (first, last), text in wrong.items():
            if (first, last) not in self.proved:  # nor is there an event that is right
                self.find(TAMPERED, first, last, text)
                self.misdeclared.add((first, last))

    def contradicts(self, manifest: dict[str, Any], data: dict[str, Any]) -> str:
        """In what an event segment.expired differs from the manifest; empty where it fits."""
        bounds = manifest["first_position"], manifest["last_position"]
        said = {name: manifest[name] for name in ("key", "sha256", "root")}
        # What older events do not say.
        more = {
            "events": manifest["events"],
            "manifest": self.report.manifests.get(bounds),
            "leaves": self.leaves.get(bounds, data.get("leaves")),
        }
        said.update((name, value) for name, value in more.items() if data.get(name))
        return next((name for name, value in said.items() if data.get(name) != value), "")

    def settle(self, others: Sequence[Tree]) -> None:
        """Segments that are gone are missing, unless an event of the log says that they expired.

        It is an event of their own; else, as that may have expired in turn, a later one, of this log or of
        another life of it: what is older expired before, and each manifest names the one before it.
        """
        chains = [
            (last, event)
            for other in others
            for (_, last), (event, chained, _) in other.proved.items()
            if chained
        ]
        until, newest = max(chains, default=(0, 0))
        self.report.declared = max([until, *(last for _, last in self.proved)])
        for manifest in self.gone:
            first, last = manifest["first_position"], manifest["last_position"]
            if (first, last) in self.proved:
                event, _, data = self.proved[first, last]
            elif last <= until and (first, last) not in self.misdeclared:
                event, data = newest, {}
            else:
                if (first, last) not in self.misdeclared:
                    self.missing(first, last)
                continue
            self.report.expired.append((first, last, event))
            if data.get("leaves") and (first, last) not in self.leaves:
                text = (
                    f"the segment {name_of(first, last)} expired as position {event} says, but its leaf "
                    "hashes are missing"
                )
                self.find(INCOMPLETE, first, last, text)

    def is_signed(self, size: int) -> bool:
        return any(head.root == self.frontier.root() for head in self.wanted.get(size, []))

    def node(self, level: int, index: int) -> bytes:
        """A node of level 8 or above, out of the tiles."""
        tiled, rest = divmod(level, 8)
        number, offset = divmod(index << rest, 256)
        path = f"{self.prefix}tile/{tiled}/{tile_name(number)}"
        partial = [
            key
            for key in self.files
            if key.startswith(path + ".p/") and int(key[len(path) + 3 :]) >= offset + (1 << rest)
        ]
        raw = self.source.read(path if path in self.files else partial[0] if partial else path)
        hashes = [raw[32 * n : 32 * n + 32] for n in range(offset, offset + (1 << rest))]
        if len(hashes[-1]) != 32:
            raise BadDataError("a tile is too short")
        made = Frontier()
        made.extend(hashes)
        return made.root()

    def read_segment(self, first: int, last: int, manifest: dict[str, Any]) -> None:
        name = name_of(first, last)
        try:
            raw = self.source.read(f"{self.prefix}segments/{name}.zst")
        except OSError as error:
            self.find(
                INCOMPLETE, first, last, f"the segment {name}.zst cannot be read ({error.strerror})"
            )
            return
        named = (manifest.get("size"), manifest.get("sha256"))
        altered = bool(manifest) and named != (len(raw), hashlib.sha256(raw).hexdigest())
        changed = ", and the file is not the one that its manifest names" if altered else ""
        seen = Seen()
        held: list[list[int]] = []
        jobs: list[str] = []
        position = first
        try:
            for place, block in blocks(raw, self.options.unpack):
                seen.jobs = set()
                hashes, wrong = leaf_hashes(block, position, seen)
                if wrong is not None:
                    at = position + len(hashes)
                    self.grow(hashes, changed)
                    self.stop(
                        at,
                        at,
                        f"where position {at} must be, the segment {name}.zst holds {wrong}{changed}",
                    )
                position += len(hashes)
                if position > last + 1:
                    self.stop(
                        last + 1,
                        position - 1,
                        f"the segment {name}.zst holds more than it says{changed}",
                    )
                self.grow(hashes, changed)
                self.take_declared(block, seen)
                times = _at(next(split_records(block))), _at(seen.last)
                held.append([*place, position - len(hashes), len(hashes), *times])
                jobs.append(index_of(seen.jobs))
        except BadDataError as error:
            self.stop(position, last, f"the segment {name}.zst is damaged ({error}){changed}")
        if position <= last:
            self.stop(
                position, last, f"the segment {name}.zst ends before position {position}{changed}"
            )
        self.report.segments += 1
        self.report.events += last - first + 1
        self.report.last = last
        if manifest:
            self.check_manifest(manifest, seen, altered)
        self.check_footer(first, last, raw, {"blocks": held, "jobs": jobs})

    def check_footer(self, first: int, last: int, raw: bytes, held: dict[str, Any]) -> None:
        """Triton's readers find a segment's blocks by its footer, which no root covers: it must say what is
        so, or they are shown other events than these."""
        name = name_of(first, last)
        held.update(partition=self.report.partition, epoch=self.report.epoch)
        try:
            footer = footer_of(raw)
        except BadDataError as error:
            self.stop(first, last, f"the segment {name}.zst has no whole footer ({error})")
        for field, value in held.items():
            if footer.get(field) != value:
                text = f"the footer of the segment {name}.zst says other {field} than it holds"
                self.stop(first, last, f"{text}: who reads by it is shown something else")

    def grow(self, hashes: list[bytes], changed: str) -> None:
        """Adds leaf hashes, and looks at each size of which a head was signed."""
        before, after = self.frontier.size, self.frontier.size + len(hashes)
        for size in sorted(size for size in {*self.wanted, *self.marks} if before < size <= after):
            self.frontier.extend(hashes[self.frontier.size - before : size - before])
            root = self.frontier.root()
            for head in self.wanted.get(size, []):
                if head.root != root:
                    self.stop_at_root(head, changed)
            self.good = size if size in self.wanted else self.good
            self.report.roots[size] = root
        self.frontier.extend(hashes[self.frontier.size - before :])

    def stop_at_root(self, head: Head, changed: str) -> NoReturn:
        if any(head is each for each in self.asked.get(head.size, [])):
            self.stop(
                self.good + 1,
                head.size,
                f"two histories were signed: the head of size {head.size} in {head.where} is of another one "
                "than this copy",
            )
        low, high = self.locate(head.size)
        self.stop(
            low,
            high,
            f"the records do not have the root that was signed for size {head.size} ({head.where})"
            f"{changed}: one of positions {low} to {high} was changed",
        )

    def locate(self, size: int) -> tuple[int, int]:
        """The range of positions that the first wrong record is in, as far as the tiles say."""
        start = self.frontier.start >> 8
        made = self.frontier.nodes[0] if self.frontier.nodes else []
        for index, node in enumerate(made, start):
            try:
                stored = self.node(8, index)
            except (BadDataError, OSError):
                break
            first, last = index * 256 + 1, (index + 1) * 256
            if stored != node:
                return max(self.good + 1, first), min(size, last)
        return self.good + 1, size

    def check_manifest(self, manifest: dict[str, Any], seen: Seen, altered: bool) -> None:
        first, last = manifest["first_position"], manifest["last_position"]
        name = name_of(first, last)
        self.check_root(manifest, f"the records of the segment {name}.zst do")
        if altered:
            self.stop(
                first,
                last,
                f"the segment {name}.zst is not the file that its manifest names, though its records are",
            )
        try:
            found = {
                "first_at": unpack_record(seen.first)["at"],
                "last_at": unpack_record(seen.last)["at"],
                "types": seen.counts(),
            }
        except BadDataError as error:
            self.stop(first, last, f"the segment {name}.zst holds what is no event: {error}")
        for field, value in found.items():
            if manifest[field] != value:
                self.stop(
                    first,
                    last,
                    f"the manifest {name}.json says {field} {manifest[field]!r}, the records {value!r}",
                )

    def check_root(self, manifest: dict[str, Any], what: str) -> None:
        first, last = manifest["first_position"], manifest["last_position"]
        if manifest["root"] != self.frontier.root().hex():
            low, high = self.locate(last)
            self.stop(
                low,
                high,
                f"{what} not have the root that its manifest names: one of positions {low} to {high} was "
                "changed",
            )
        if manifest["peaks"] != [peak.hex() for peak in self.frontier.peaks]:
            name = name_of(first, last)
            self.stop(first, last, f"the manifest {name}.json has other peaks than its tree")

    # The end

    def check_coverage(self) -> None:
        newest, last = self.report.newest_head, self.frontier.size
        if not self.report.heads:
            return
        reached = max([0, *(last for _, last in self.manifests)])
        if last < newest and last == reached and not self.options.sealed:
            why = "what follows is not sealed yet, or was removed"
            ended = self.report.ended
            if ended is not None and last >= ended:
                why = f"what follows was lost before the log was adopted, and goes on from position {ended}"
            self.find(
                INCOMPLETE,
                last + 1,
                newest,
                f"a head of size {newest} was signed, but the segments end at position {last}: {why}",
            )
        if self.good < last:
            text = f"no signed head ends with one of positions {self.good + 1} to {last}, so none proves them"
            self.find(UNKNOWN, self.good + 1, last, text)
        for size, heads in sorted(self.asked.items()):
            if size > max(last, newest):
                self.find(
                    INCOMPLETE,
                    last + 1,
                    size,
                    f"the head of size {size} in {heads[0].where} was signed, but this copy ends at "
                    f"position {last}",
                )
            elif size not in self.report.roots:
                text = (
                    f"the head of size {size} in {heads[0].where} was not compared: it is outside of "
                    "what was read"
                )
                self.find(UNKNOWN, size, size, text)
        self.check_tiles()

    def check_tiles(self) -> None:
        """Compares the stored tiles with the nodes that the records made."""
        for key in self.files:
            match = TILE.fullmatch(key[len(self.prefix) :])
            if not match:
                continue
            level, width = int(match[1]), int(match[3] or 256)
            index = int(match[2].replace("x", "").replace("/", ""))
            if level > len(self.frontier.nodes):
                continue
            start = self.frontier.start >> 8 * level
            stored = self.source.read(key)
            nodes = self.frontier.nodes[level - 1][max(0, index * 256 - start) :]
            skipped = max(0, start - index * 256)
            made = b"".join(nodes[: max(0, width - skipped)])
            held = stored[32 * skipped :][: len(made)]
            if len(stored) != 32 * width or held != made:
                first = index * 256 << 8 * level
                self.stop(
                    first + 1,
                    min(first + (width << 8 * level), self.frontier.size),
                    f"the tile {match[0]} does not hold the hashes of the records",
                )


TILE = re.compile(r"tile/([1-9][0-9]*)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9][0-9]{0,2}))?")
MANIFEST_FIELDS = {
    "format": int,
    "origin": str,
    "partition": int,
    "epoch": str,
    "first_position": int,
    "last_position": int,
    "events": int,
    "types": dict,
    "first_at": int,
    "last_at": int,
    "key": str,
    "size": int,
    "sha256": str,
    "root": str,
    "previous": str,
    "peaks": list,
}


def wrong_rotation(
    keys: Keys, said: dict[str, Any], signed: Sequence[tuple[Head, int]]
) -> tuple[str, str] | None:
    """Verdict and sentence where an event key.rotated does not fit the list of keys, or a signed head (each
    is given with the number of the newest key that signed it)."""
    numbers = {key.id.hex(): number for number, key in enumerate(keys.keys)}
    key, size = said.get("key"), said.get("size", 0)
    number, before = (numbers.get(str(said.get(name))) for name in ("key", "previous"))
    if number is None or before is None:
        return (
            INCOMPLETE,
            f"the log says that the key {key} follows {said.get('previous')}, unlike the list of keys",
        )
    if before >= number:
        return (
            TAMPERED,
            f"the log says that the key {key} follows another one than the list of keys",
        )
    for head, by in signed:
        if isinstance(size, int) and 0 < size < head.size and by < number:
            return (
                TAMPERED,
                f"the head of size {head.size} in {head.where} is signed by a key that was replaced: the "
                f"log says that the key {key} signs from size {size + 1} on",
            )
    return None


class Stop(Exception):  # noqa: N818 - no error
    """Nothing more can be said of this log."""


class Seen:
    """The types of a segment's records, and the first and the last one."""

    def __init__(self) -> None:
        self.types: dict[bytes, int] = {}
        #: The jobs' ids of the block that is read.
        self.jobs: set[bytes] = set()
        self.first = self.last = b""
        self.declared = 0

    def counts(self) -> dict[str, int]:
        return {name.decode("utf-8", "replace"): count for name, count in self.types.items()}


def hashes_of(texts: Sequence[Any]) -> list[bytes]:
    """Hashes in hex as bytes; none where one of them is no hash."""
    if all(isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) for text in texts):
        return [bytes.fromhex(text) for text in texts]
    return []


def name_of(first: int, last: int) -> str:
    return f"{first:020d}-{last:020d}"


def tile_name(index: int) -> str:
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*("x" + group for group in groups[:-1]), groups[-1]])


#: The first bytes of a block by columns, and of one by columns in the order of jobs; behind them the count
#: of its records and the first position.
BY_COLUMNS, WOVEN = b"TRC2", b"TRC3"
BLOCK_HEAD = struct.Struct(">4sIQ")
COUNT_MAX = 1 << 20


def blocks(segment: bytes, unpack: Unpack) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Offset and size of each frame, and its records behind their lengths."""
    for start, end, skippable in zstd_frames(segment):
        if not skippable:
            block = unpack(segment[start:end])
            rows = rows_of(block) if block[:3] == BY_COLUMNS[:3] else block
            yield (start, end - start), rows


def footer_of(segment: bytes) -> dict[str, Any]:
    """What the footer says: `blocks` as [offset, size, first position, count, first time, last time], `jobs`
    as `index_of` each block's. Raises BadDataError."""
    size = int.from_bytes(segment[-8:-4], "big")
    if segment[-4:] != b"TRS1" or size + 8 > len(segment):
        raise BadDataError("the file does not end as a segment does")
    unpacker = zlib.decompressobj()
    try:
        said = json_of(unpacker.decompress(segment[-8 - size : -8], FRAME_MAX))
    except (zlib.error, ValueError) as error:
        raise BadDataError(str(error)) from None
    if not isinstance(said, dict):
        raise BadDataError("it says nothing")
    return said


def index_of(jobs: set[bytes]) -> str:
    """Jobs' ids as a footer has them: the sorted CRC-32, all highest bytes first, in base64."""
    numbers = sorted({zlib.crc32(job) for job in jobs})
    raw = b"".join(number.to_bytes(4, "big") for number in numbers)
    return base64.b64encode(b"".join(raw[byte::4] for byte in range(4))).decode()


def _at(record: bytes) -> int:
    at = unpack_record(record)["at"]
    assert isinstance(at, int)
    return at


def rows_of(block: bytes) -> bytes:
    """A block that holds its records by columns, as records behind their lengths. Raises BadDataError."""
    if block[:4] not in (BY_COLUMNS, WOVEN):
        raise BadDataError(f"a block has the format {block[:4]!r}, which this version cannot read")
    try:
        _, count, first = BLOCK_HEAD.unpack_from(block)
        if not 0 < count <= COUNT_MAX or first >> 63:
            raise BadDataError(f"a block says that it holds {count} records from {first} on")
        if block[:4] == WOVEN:
            columns = _columns_by_job(_woven_text(block, BLOCK_HEAD.size), count)
        else:
            columns = _columns(block, BLOCK_HEAD.size, count)
    except (struct.error, ValueError, IndexError) as error:
        raise BadDataError(f"a block's columns are damaged: {error}") from None
    if sum(sum(map(len, values)) for values in columns) > FRAME_MAX:
        raise BadDataError("the records of a block are too many bytes")
    heads = [b"\x9e" + _packed_number(number) for number in range(first, first + count)]
    fields: list[Sequence[bytes]] = [heads]
    for values in columns:
        fields += _marked(values), values
    records = list(map(b"".join, zip(*fields)))
    lengths = [len(record).to_bytes(4, "big") for record in records]
    return b"".join(itertools.chain.from_iterable(zip(lengths, records)))


def _columns(block: bytes, at: int, count: int) -> list[list[bytes]]:
    """Columns one behind the other, in the order of the fields."""
    columns: list[list[bytes]] = []
    for name in FIELDS[1:]:
        steps = name == "at" and block[at : at + 1] == b"D"
        values, at = _column(block, at + steps, count)
        if steps:
            values = [b"%d" % time for time in itertools.accumulate(map(int, values))]
        if name == "data":
            values = _where_they_were(values, _by_name(columns[0]))
        columns.append(values)
    if at != len(block):
        raise BadDataError("a block goes on behind its columns")
    return columns


def _columns_by_job(text: bytes, count: int) -> list[list[bytes]]:
    """The column of jobs first; values in the order of jobs, but for jobs and times."""
    jobs, at = _column(text, 0, count)
    places: dict[bytes, int] = {}
    order = _by_name([places.setdefault(job, len(places)) for job in jobs])
    types: list[bytes] = []
    columns: list[list[bytes]] = []
    for name in FIELDS[1:]:
        if name == "job":
            columns.append(jobs)
            continue
        if name == "at" and text[at : at + 1] == b"T":
            begin = at + 9
            (start,) = struct.unpack_from(">Q", text, at + 1)
            at = begin + 4 * (count - 1)
            times = itertools.accumulate(_from_planes(text[begin:at], count - 1), initial=start)
            columns.append([b"%d" % time for time in times])
            continue
        values, at = _column(text, at, count)
        if name == "type":
            types = values
        if name == "data":
            values = _where_they_were(values, _by_name(types))
        columns.append(values if name == "at" else _where_they_were(values, order))
    if at != len(text):
        raise BadDataError("a block goes on behind its columns")
    return columns


def _woven_text(block: bytes, at: int) -> bytes:
    """The text of a block with what was cut out of it: ids, digests and numbers."""
    sizes = struct.unpack_from(">6I", block, at)
    ids, id_steps, digests, digest_steps, numbers, size = sizes
    at += 24
    ends = [4 * id_steps, 4 * digest_steps, 4 * numbers, size, 16 * ids, 32 * digests]
    ends = list(itertools.accumulate(ends, initial=at))
    if ends[-1] != len(block):
        raise BadDataError("a block does not end behind what was cut out of it")
    parts = [block[begin:end] for begin, end in zip(ends, ends[1:])]
    id_of = list(map(_id_text, _cut_up(parts[4], 16)))
    digest_of = [raw.hex().encode() for raw in _cut_up(parts[5], 32)]
    # Pops take from the end.
    next_id = [id_of[place] for place in _sums_of(parts[0], -1)][::-1].pop
    next_digest = [digest_of[place] for place in _sums_of(parts[1], -1)][::-1].pop
    next_number = [b"%d" % number for number in _sums_of(parts[2], 0)][::-1].pop
    places = parts[3].split(b"\xc1")
    pieces = places[:1]
    counts = dict.fromkeys((b"u", b"d", b"a", b"n", b"."), 0)
    for piece in places[1:]:
        kind = piece[:1]
        if kind not in counts:
            raise BadDataError(f"something of the unknown kind {kind!r} was cut out of a block")
        counts[kind] += 1
        if kind == b"u":
            pieces.append(next_id())
        elif kind == b"n":
            pieces.append(next_number())
        elif kind == b".":
            pieces.append(b"\xc1")
        else:
            digest = next_digest()
            folders = digest[:2] + b"/" + digest[2:4] + b"/" if kind == b"a" else b""
            pieces.append(folders + digest)
        pieces.append(piece[1:])
    taken = (counts[b"u"], counts[b"d"] + counts[b"a"], counts[b"n"])
    if taken != (id_steps, digest_steps, numbers):
        raise BadDataError("a block has no place for all that was cut out of it")
    if sum(map(len, pieces)) > FRAME_MAX:
        raise BadDataError("the records of a block are too many bytes")
    return b"".join(pieces)


def _cut_up(raw: bytes, size: int) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)]


def _id_text(raw: bytes) -> bytes:
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])).encode()


def _from_planes(raw: bytes, count: int) -> Sequence[int]:
    """Numbers of four bytes: all first bytes stand before all second ones."""
    if len(raw) != 4 * count:
        raise BadDataError("a column is cut off")
    together = bytearray(len(raw))
    for byte in range(4):
        together[byte::4] = raw[byte * count : (byte + 1) * count]
    return struct.unpack(f">{count}I", together)


def _sums_of(raw: bytes, initial: int) -> list[int]:
    """The numbers of which these are the steps, modulo 2**32."""
    sums = list(itertools.accumulate(_from_planes(raw, len(raw) // 4), initial=initial))
    return [number & 0xFFFFFFFF for number in sums[1:]]


def _column(block: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """The values of a column, and where the next one begins."""
    mark = block[at : at + 1]
    if mark == b"1" or mark == b"F":
        (length,) = struct.unpack_from(">I", block, at + 1)
        at += 5
        end = at + (length if mark == b"1" else length * count)
        if end > len(block) or length * count > FRAME_MAX:
            raise BadDataError("a column is cut off")
        if mark == b"1":
            return [block[at:end]] * count, end
        return [block[start : start + length] for start in range(at, end, length)], end
    if mark != b"B" and mark != b"W":
        raise BadDataError(f"a column has the mark {mark!r}")
    form = f">{count}{'B' if mark == b'B' else 'I'}"
    lengths = struct.unpack_from(form, block, at + 1)
    ends = list(itertools.accumulate(lengths, initial=at + 1 + struct.calcsize(form)))
    if ends[-1] > len(block):
        raise BadDataError("a column is cut off")
    return [block[start:end] for start, end in zip(ends, ends[1:])], ends[-1]


def _by_name(names: Sequence[Any]) -> list[int]:
    """The indexes of the first name in order, then those of the next one."""
    return sorted(range(len(names)), key=names.__getitem__)


def _where_they_were(values: list[bytes], moved: Sequence[int]) -> list[bytes]:
    """Values that stand in the order `moved`, in the order of positions."""
    found = [b""] * len(values)
    for index, value in zip(moved, values):
        found[index] = value
    return found


def _marked(values: list[bytes]) -> list[bytes]:
    """What stands before each value in msgpack."""
    lengths = list(map(len, values))
    if lengths.count(lengths[0]) == len(lengths):
        return [_bin_mark(lengths[0])] * len(lengths)
    return list(map(_bin_mark, lengths))


@functools.lru_cache(maxsize=4096)
def _bin_mark(length: int) -> bytes:
    if length < 1 << 8:
        return struct.pack(">BB", 0xC4, length)
    return (
        struct.pack(">BH", 0xC5, length) if length < 1 << 16 else struct.pack(">BI", 0xC6, length)
    )


def _packed_number(number: int) -> bytes:
    """A position in its smallest msgpack form."""
    if number < 1 << 7:
        return bytes([number])
    for mark, form, bits in ((0xCC, ">BB", 8), (0xCD, ">BH", 16), (0xCE, ">BI", 32)):
        if number < 1 << bits:
            return struct.pack(form, mark, number)
    return struct.pack(">BQ", 0xCF, number)


def split_records(block: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(block):
        begin = at + 4
        at = begin + int.from_bytes(block[at:begin], "big")
        if at > len(block):
            raise BadDataError("a record is cut off")
        yield block[begin:at]


def leaf_hashes(block: bytes, position: int, seen: Seen) -> tuple[list[bytes], str | None]:
    """Of each record until one that is not at its position, and then what is there instead."""
    sha256, types, found_job = hashlib.sha256, seen.types, seen.jobs.add
    hashes: list[bytes] = []
    append, count = hashes.append, types.get
    at, end, begin = 0, len(block), 0
    try:
        while at < end:
            # The smallest msgpack form of the position, as the log writes it.
            mark, form, skip, stop = next(each for each in POSITIONS if position < each[3])
            unpack = struct.Struct(form).unpack_from
            small = position < 128
            while at < end and position < stop:
                length, head, kind, found = unpack(block, at)
                if small:
                    mark, found = position, kind if found == 0xC4 else -1
                if head != 0x9E or kind != mark or found != position:
                    return hashes, _instead(block[at + 4 : at + 4 + length])
                begin = at + 4
                at = begin + length
                append(sha256(b"\0" + block[begin:at]).digest())
                start = begin + skip
                name = block[start : start + block[start - 1]]
                types[name] = count(name, 0) + 1
                start += len(name)
                if block[start] == 0xC4:
                    found_job(block[start + 2 : start + 2 + block[start + 1]])
                else:
                    found_job(_msgpack(block, start)[0])
                position += 1
    except (struct.error, IndexError):
        raise BadDataError("a record is cut off") from None
    if at > end:
        raise BadDataError("a record is cut off")
    seen.first = seen.first or next(split_records(block), b"")
    seen.last = block[begin:at]
    return hashes, None


#: The mark of a position's form in msgpack; the record's length, its mark of 14 fields, the form's mark
#: and the position (of the smallest form: the position and the next mark); where the type's bytes begin;
#: the first position that the form is too small for.
POSITIONS = (
    (0, ">IBBB", 4, 1 << 7),
    (0xCC, ">IBBB", 5, 1 << 8),
    (0xCD, ">IBBH", 6, 1 << 16),
    (0xCE, ">IBBI", 8, 1 << 32),
    (0xCF, ">IBBQ", 12, 1 << 64),
)


def _instead(record: bytes) -> str:
    try:
        return f"position {unpack_record(record)['position']}"
    except BadDataError:
        return "what is no event"


# ---------------------------------------------------------------------------------------------------------
# A whole archive


def _open_end(tree: TreeReport) -> int:
    """How many events of a log were signed, and are in no segment nor in the live log that was read."""
    return max(0, tree.newest_head - max(tree.sealed, tree.live))


class Report:
    """All that was seen, and the verdict over it."""

    def __init__(self) -> None:
        self.trees: list[TreeReport] = []
        self.findings: list[Finding] = []
        self.keys: list[str] = []
        self.pinned = False

    @property
    def worst(self) -> Finding | None:
        """The first finding of the gravest kind."""
        for verdict in (TAMPERED, INCOMPLETE, UNKNOWN):
            found = [each for each in self.findings if each.verdict == verdict]
            if found:
                return min(found, key=lambda each: (each.log, each.position))
        return None

    @property
    def verdict(self) -> str:
        return self.worst.verdict if self.worst else WHOLE

    def sentence(self) -> str:
        worst = self.worst
        if worst:
            where = f" in {worst.log}" if worst.log else ""
            at = f" at position {worst.position}" if worst.position else ""
            return f"{worst.verdict}{at}{where}: {worst.sentence}"
        # What the live log has behind the last segment was read and hashed as well.
        counts = [
            (tree.ended, tree.events + max(0, tree.live - tree.sealed)) for tree in self.trees
        ]
        present = [events for ended, events in counts if ended is None]
        earlier = [events for ended, events in counts if ended is not None]
        begins = (max((last for _, last, _ in tree.expired), default=0) for tree in self.trees)
        asked = (tree.first > begin + 1 for tree, begin in zip(self.trees, begins))
        first = " of those asked for" if any(asked) else ""
        logs = "1 log" if len(present) == 1 else f"{len(present)} logs"
        if earlier:
            lives = "1 earlier life" if len(earlier) == 1 else f"{len(earlier)} earlier lives"
            logs += f", and {sum(earlier)} of {lives}"
        said = "".join(f"; {text}" for tree in self.trees if (text := expired_of(tree)))
        signed = sum(map(_open_end, (tree for tree in self.trees if tree.ended is None)))
        said += f"; {signed} more are signed, but not sealed in this copy" if signed else ""
        lost = sum(map(_open_end, (tree for tree in self.trees if tree.ended is not None)))
        said += f"; {lost} more were signed, and lost before a log was adopted" if lost else ""
        return f"whole: {sum(present)} events of {logs}, none{first} missing, none changed{said}"

    def document(self) -> dict[str, Any]:
        worst = self.worst
        return {
            "verdict": self.verdict,
            "exit": EXITS[self.verdict],
            "sentence": self.sentence(),
            "log": worst.log if worst else None,
            "position": worst.position if worst else None,
            "until": worst.until if worst else None,
            "findings": [each._asdict() for each in self.findings],
            "keys": self.keys,
            "pinned": self.pinned,
            "logs": [tree.document() for tree in self.trees],
        }


def ended_of(tree: TreeReport) -> str:
    """That another life of the log goes on from this one, and from where; empty for the present one."""
    if tree.ended is None:
        return ""
    return f"an earlier life, whose events the next one has up to {tree.ended}"


def expired_of(tree: TreeReport) -> str:
    """What has expired of a log, and by which events; empty for nothing."""
    if not tree.expired:
        return ""
    gone = sum(last - first + 1 for first, last, _ in tree.expired)
    events = sorted({event for _, _, event in tree.expired})
    by = ", ".join(str(event) for event in events[-3:])
    said = f"event at position {by}" if len(events) == 1 else f"events at positions {by}"
    if len(events) > 3:
        said = f"{len(events)} declared events, the last at positions {by}"
    else:
        said = f"declared {said}"
    last = max(last for _, last, _ in tree.expired)
    return f"{gone} more, up to {last} of {tree.path}, expired by {said}"


def check_archive(
    source: Any,
    pinned: Sequence[Key],
    options: Options,
    seen: Sequence[Head] = (),
    prefix: str = "log/",
    trust_first: bool = False,
) -> Report:
    """Checks all logs below a prefix. `source` has list(prefix) and read(key), as Folder has."""
    report = Report()
    report.pinned = bool(pinned)
    space = "/".join(prefix.split("/")[:2])
    found = sorted({match[0] for key in source.list(prefix) if (match := TREE.match(key))})
    rings = {
        name: read_keyring(source, name, report, options.check)
        for name in {key.split("/")[1] for key in found}
    }
    if not found:
        report.findings.append(
            Finding(UNKNOWN, "", 0, 0, f"there is no log below {prefix or space}")
        )
    trusted = trusted_keys(rings, pinned)
    report.keys = [str(key) for key in trusted]
    keys = Keys(trusted, options.check)
    asked = check_seen(report, keys, seen)
    trees = []
    for path in found:
        of_path = "/".join(TREE.fullmatch(path).groups())  # type: ignore[union-attr]
        mine = {origin: heads for origin, heads in asked.items() if origin.endswith("/" + of_path)}
        by_size: dict[int, list[Head]] = {}
        for origin in mine:
            for head in asked.pop(origin):
                by_size.setdefault(head.size, []).append(head)
        trees.append(Tree(source, path, keys, options, by_size))
    run_lives(trees, keys)
    settle_expired(trees)
    for tree in trees:
        report.trees.append(tree.report)
        report.findings += tree.findings
    for origin, heads in asked.items():
        report.findings.append(
            Finding(
                INCOMPLETE,
                origin,
                1,
                heads[0].size,
                f"a head of this log was signed ({heads[0].where}), but this copy holds nothing of it",
            )
        )
    if len(prefix.split("/")) <= 3:  # all partitions of a namespace
        check_lives(trees, report)
    if not pinned and not trust_first:
        said = f"; the archive names {report.keys[-1]}" if report.keys else ""
        report.findings.append(
            Finding(UNKNOWN, "", 0, 0, "no key was given (--key), so anyone may have signed" + said)
        )
    return report


def settle_expired(trees: Sequence[Tree]) -> None:
    """Tells what expired from what is missing, once all logs were read."""
    lives: dict[str, list[Tree]] = {}
    for tree in trees:
        lives.setdefault(tree.path.rpartition("/")[0], []).append(tree)
    for same in lives.values():
        for tree in same:
            tree.judge_declared(same)
        for tree in same:
            tree.settle(same)


def trusted_keys(rings: dict[str, list[Key]], pinned: Sequence[Key]) -> list[Key]:
    """The pinned keys with all that are listed with one of them; all listed ones if none is pinned."""
    trusted: list[Key] = []
    for name in sorted(rings):
        if not pinned or any(key in rings[name] for key in pinned):
            trusted += [key for key in rings[name] if key not in trusted]
    return trusted + [key for key in pinned if key not in trusted]


def read_keyring(source: Any, namespace: str, report: Report, check: Check | None) -> list[Key]:
    """The keys that signed for a namespace, each announced by the one before."""
    keys: list[Key] = []
    prefix = f"log/{namespace}/keys/"
    for number, name in enumerate(source.list(prefix), 1):
        try:
            (note,) = parse_notes(source.read(name))
            lines = note.text.split("\n")[:-1]
            listed = [parse_key(line) for line in lines[2:]]
            if name != f"{prefix}{number:06d}" or lines[:2] != [KEYS_HEADER, namespace]:
                raise BadDataError("it is not the next list of this namespace")
            if listed[:-1] != keys or len(set(listed)) != len(listed):
                raise BadDataError("it does not list the keys before and a new one")
            if set(Keys(listed[-2:], check).signers(note)) != set(listed[-2:]):
                raise BadDataError("the new key and the one before did not both sign it")
        except (BadDataError, ValueError) as error:
            text = f"the list of signing keys {name} is not to be trusted: {error}"
            report.findings.append(Finding(TAMPERED, namespace, 0, 0, text))
            break
        keys = listed
    return keys


def check_seen(report: Report, keys: Keys, seen: Sequence[Head]) -> dict[str, list[Head]]:
    """The heads that the auditor brought, by origin; those that no trusted key signed are findings."""
    asked: dict[str, list[Head]] = {}
    for head in seen:
        try:
            good = keys.signers(head.note)
        except BadDataError:
            good = []
        if good:
            asked.setdefault(head.origin, []).append(head)
        else:
            text = f"the head in {head.where} is not signed by a trusted key: it says nothing"
            report.findings.append(Finding(UNKNOWN, head.origin, 0, 0, text))
    return asked


class Life(NamedTuple):
    """That a log was adopted: it shares positions 1 to `common` with the log `before`."""

    origin: str
    before: str
    common: int


def read_life(tree: Tree, keys: Keys) -> Life | None:
    """What is declared of a log's beginning; None where nothing is, or nothing that can be trusted."""
    name = tree.prefix + "adopted"
    if name not in tree.files:
        return None
    try:
        (note,) = parse_notes(tree.source.read(name))
        header, origin, before, common = note.text.split("\n")[:4]
        signers = keys.signers(note)
        if not signers:
            raise BadDataError("no trusted key signed it")
        if header != ADOPTED_HEADER or origin != f"{signers[0].name}/{tree.path}":
            raise BadDataError("it is of another log")
        return Life(origin, before, int(common))
    except (ValueError, OSError) as error:
        text = f"the declaration of this log's epoch is not to be trusted: {error}"
        tree.find(TAMPERED, 1, 1, text)
        return None


def run_lives(trees: list[Tree], keys: Keys) -> None:
    """Runs the checks of all logs; those of adopted ones after those that they go on from."""
    lives = {tree.path: read_life(tree, keys) for tree in trees}
    waiting = list(trees)
    while waiting:
        names = {tree.path: tree for tree in trees}
        for tree in waiting:
            life = lives[tree.path]
            before = names.get("/".join(life.before.split("/")[-3:])) if life else None
            if before is None or before not in waiting:
                break
        else:
            tree.find(TAMPERED, 1, 1, "the declared epochs go in a circle")
            life = before = None
        waiting.remove(tree)
        for other in trees:
            later = lives[other.path]
            if later and later.before.endswith("/" + tree.path):
                tree.marks.add(later.common)
                tree.report.ended = later.common
        if life and before:
            shared = min(life.common, before.frontier.size)
            before.report.roots[before.frontier.size] = before.frontier.root()
            tree.marks.add(shared)
            tree.run()
            compare_lives(tree, before, life, shared)
        else:
            tree.run()
            if life:
                text = f"the log before this one, {life.before}, is not in this copy"
                tree.find(INCOMPLETE, 1, max(1, life.common), text)


def compare_lives(tree: Tree, before: Tree, life: Life, shared: int) -> None:
    ours, theirs = tree.report.roots.get(shared), before.report.roots.get(shared)
    if ours and theirs and ours != theirs:
        text = f"positions 1 to {shared} are not those of {life.before}, though they were declared to be"
        tree.find(TAMPERED, 1, shared, text)
    elif shared and not (ours and theirs) and not (tree.findings or before.findings):
        tree.find(
            UNKNOWN, 1, shared, f"positions 1 to {shared} were not compared with {life.before}"
        )


def check_lives(trees: list[Tree], report: Report) -> None:
    """None of the partitions may be missing, and each has one log with which it began."""
    partitions: dict[tuple[str, int], list[Tree]] = {}
    for tree in trees:
        key = tree.path.split("/")[0], tree.report.partition
        partitions.setdefault(key, []).append(tree)
    for namespace in {name for name, _ in partitions}:
        numbers = {number for name, number in partitions if name == namespace}
        for number in sorted(set(range(max(numbers))) - numbers):
            text = f"partition {number} is missing: there are others up to {max(numbers)}"
            report.findings.append(Finding(INCOMPLETE, f"{namespace}/{number}", 1, 1, text))
    for (namespace, number), lives in partitions.items():
        # A log of nothing is none: it was begun where the server was found empty, and was never written.
        first = [
            tree.report.epoch
            for tree in lives
            if tree.prefix + "adopted" not in tree.files
            and (tree.report.newest_head or tree.report.segments)
        ]
        if len(first) > 1:
            text = (
                f"the partition has several logs ({', '.join(first)}), and nothing signed says which "
                "follows which"
            )
            report.findings.append(Finding(UNKNOWN, f"{namespace}/{number}", 1, 1, text))


# ---------------------------------------------------------------------------------------------------------
# One proof


class ProofReport(NamedTuple):
    verdict: str
    sentence: str
    origin: str = ""
    position: int = 0
    size: int = 0
    event: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        return {**self._asdict(), "exit": EXITS[self.verdict]}


class Proof(NamedTuple):
    leaf: int
    hashes: list[bytes]
    head: Head
    #: The content of its extra line, where it has one.
    record: bytes | None


def parse_proof(raw: bytes) -> Proof:
    """C2SP's tlog-proof. Raises BadDataError."""
    text, blank, checkpoint = raw.partition(b"\n\n")
    try:
        lines = text.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise BadDataError("its lines are not ASCII") from None
    if not blank or lines.pop(0) != PROOF_HEADER:
        raise BadDataError(f"its first line is not {PROOF_HEADER}")
    record = unbase64(lines.pop(0)[6:]) if lines and lines[0].startswith("extra ") else None
    match = re.fullmatch("index (0|[1-9][0-9]{0,18})", lines.pop(0)) if lines else None
    hashes = [unbase64(line) for line in lines]
    if not match or any(len(value) != 32 for value in hashes):
        raise BadDataError("its index or its path is not as it must be")
    notes = parse_notes(checkpoint)
    if len(notes) != 1:
        raise BadDataError("it does not end with one signed head")
    return Proof(int(match[1]), hashes, parse_head(notes[0], "the proof"), record)


def check_proof(
    raw: bytes, pinned: Sequence[Key], record: bytes | None = None, check: Check | None = None
) -> ProofReport:
    """Checks a tlog-proof file, whose extra line is the record of one event unless `record` is given."""
    try:
        proof = parse_proof(raw)
    except BadDataError as error:
        return ProofReport(UNKNOWN, f"{UNKNOWN}: this is no whole tlog-proof: {error}")
    head, position = proof.head, proof.leaf + 1
    seen = ProofReport("", "", head.origin, position, head.size)
    record = proof.record if record is None else record
    if record is None:
        return _said(seen, UNKNOWN, "the proof carries no record, and none was given (--record)")
    leaf = hashlib.sha256(b"\0" + record).digest()
    if not included(leaf, proof.leaf, head.size, proof.hashes, head.root):
        text = (
            f"the event at position {position} is not in the tree of {head.origin} at size {head.size}: "
            "the event, its position, the proof or the head was changed"
        )
        return _said(seen, TAMPERED, text)
    try:
        event = unpack_record(record)
    except BadDataError:
        return _said(seen, TAMPERED, "the record is not one of Triton's")
    if event["position"] != position:
        text = f"the record says position {event['position']}, the proof position {position}"
        return _said(seen, TAMPERED, text)
    return _check_signers(seen._replace(event=event), head, Keys(pinned, check))


def _check_signers(seen: ProofReport, head: Head, keys: Keys) -> ProofReport:
    try:
        signers = keys.signers(head.note)
    except BadDataError as error:
        text = f"the head of {head.origin} at size {head.size} is forged: {error}"
        return _said(seen, TAMPERED, text)
    if not signers:
        names = ", ".join(f"{name} ({key_id.hex()})" for name, key_id, _ in head.note.signatures)
        text = f"the head is signed by {names}, and no such key was given (--key)"
        return _said(seen, UNKNOWN, text)
    if not head.origin.startswith(signers[0].name + "/"):
        text = f"{signers[0].name} signed a head of the log {head.origin}"
        return _said(seen, TAMPERED, text)
    text = (
        f"the event is at position {seen.position} of {head.origin}; {signers[0].name} signed its head of "
        f"size {head.size}"
    )
    return _said(seen, WHOLE, text)


def _said(seen: ProofReport, verdict: str, text: str) -> ProofReport:
    return seen._replace(verdict=verdict, sentence=f"{verdict}: {text}")


# ---------------------------------------------------------------------------------------------------------
# An export: a folder of events with manifest.json, written by `triton audit export`

EXPORT_KIND = "triton.audit.export"
EXPORTED = {
    "jsonl": "events.jsonl",
    "csv": "events.csv",
    "cloudevents": "events.cloudevents.jsonl",
    "parquet": "events.parquet",
}
#: Column -> attribute of a CloudEvent, of what a record says besides its data.
COLUMNS = {
    "type": "type",
    "subject": "subject",
    "time": "time",
    "partition": "tritonpartition",
    "epoch": "tritonepoch",
    "version": "tritonversion",
    "attempt": "tritonattempt",
    "tenant": "tritontenant",
    "queue": "tritonqueue",
    "causation": "causationid",
    "traceparent": "traceparent",
    "leaf": "tritonleaf",
}


class ExportReport(Report):
    """What was seen of an export."""

    def __init__(self) -> None:
        super().__init__()
        self.events = 0

    def sentence(self) -> str:
        if self.worst:
            return super().sentence()
        return (
            f"whole: {self.events} events, each with a proof, and none of their columns changed but perhaps "
            "data, which is to be read in the proofs; that no event was left out is not to be seen here"
        )

    def document(self) -> dict[str, Any]:
        return {**super().document(), "events": self.events}


def is_export(source: Any) -> bool:
    try:
        manifest = json_of(source.read("manifest.json"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == EXPORT_KIND


def check_export(
    source: Any, pinned: Sequence[Key], trust_first: bool = False, check: Check | None = None
) -> ExportReport:
    """Checks the files of an export, its heads, and the proof of each of its events."""
    report = ExportReport()
    report.pinned = bool(pinned)
    trusted = list(pinned)
    try:
        manifest = json_of(source.read("manifest.json"))
        if manifest["version"] != 1:
            raise BadDataError(f"its version is {manifest['version']}")
        if not trusted:
            trusted = [parse_key(line) for line in source.read("keys").decode().splitlines()]
        report.keys = [str(key) for key in trusted]
        _Export(source, manifest, report, Keys(trusted, check)).run()
    except (LookupError, TypeError, AttributeError, ValueError, OSError) as error:
        text = f"this is no export that can be read ({type(error).__name__}: {error})"
        report.findings.append(Finding(UNKNOWN, "", 0, 0, text))
    if not pinned and not trust_first:
        text = "no key was given (--key), so anyone may have signed"
        report.findings.append(Finding(UNKNOWN, "", 0, 0, text))
    return report


class _Export:
    def __init__(
        self, source: Any, manifest: dict[str, Any], report: ExportReport, keys: Keys
    ) -> None:
        self.source, self.manifest, self.report, self.keys = source, manifest, report, keys
        self.parts = {part["partition"]: part for part in manifest["partitions"]}

    def find(self, verdict: str, place: tuple[int, int], sentence: str) -> None:
        partition, position = place
        name = f"{self.manifest['namespace']}/{partition}" if position else ""
        self.report.findings.append(Finding(verdict, name, position, position, sentence))

    def run(self) -> None:
        for file in self.manifest["files"]:
            self.check_file(file["name"], file["size"], file["sha256"])
        for number, part in self.parts.items():
            if part["head"] is not None:
                self.check_head(number, part)
        form = self.manifest["format"]
        if form not in ("jsonl", "csv", "cloudevents"):
            text = f"the events of the format {form} are not read here: export them as jsonl too"
            self.find(UNKNOWN, (0, 0), text)
            return
        last = dict.fromkeys(self.parts, 0)
        types: dict[str, int] = {}
        for row in self.rows(form):
            number = row["sequence"] if form == "cloudevents" else row["position"]
            place = (
                int(row[COLUMNS["partition"] if form == "cloudevents" else "partition"]),
                int(number),
            )
            part = self.parts[place[0]]
            if not max(last[place[0]] + 1, part["first"]) <= place[1] <= part["last"]:
                self.find(
                    TAMPERED,
                    place,
                    "this position does not follow the one before, or was not exported",
                )
            last[place[0]] = place[1]
            types[row["type"]] = types.get(row["type"], 0) + 1
            self.report.events += 1
            self.check_row(row, place, form)
        if types != self.manifest["types"] or self.report.events != self.manifest["events"]:
            text = (
                f"the manifest counts {self.manifest['events']} events {self.manifest['types']}, "
                f"the file has {self.report.events} {types}"
            )
            self.find(TAMPERED, (0, 0), text)

    def check_head(self, partition: int, part: dict[str, Any]) -> None:
        path = f"{self.manifest['namespace']}/{partition}/{part['epoch']}"
        try:
            (note,) = parse_notes(part["head"].encode())
            head = parse_head(note, "the manifest")
            signers = self.keys.signers(note)
        except ValueError as error:
            text = f"the signed head of partition {partition} is forged: {error}"
            self.find(TAMPERED, (partition, 0), text)
            return
        if not signers:
            text = f"the head of partition {partition} is not signed by a trusted key"
            self.find(UNKNOWN, (partition, 0), text)
        elif head.origin != f"{signers[0].name}/{path}":
            text = f"the head of partition {partition} is of the log {head.origin}"
            self.find(TAMPERED, (partition, 0), text)

    def check_file(self, name: str, size: int, sha256: str) -> None:
        if not re.fullmatch(r"(?:proofs/)?[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise BadDataError(f"it names the file {name!r}")
        try:
            raw = self.source.read(name)
        except OSError:
            self.find(INCOMPLETE, (0, 0), f"the file {name} is missing")
            return
        if (len(raw), hashlib.sha256(raw).hexdigest()) != (size, sha256):
            self.find(TAMPERED, (0, 0), f"the file {name} is not the one that the manifest names")

    def rows(self, form: str) -> Iterator[dict[str, Any]]:
        text = self.source.read(EXPORTED[form]).decode()
        if form == "csv":
            csv.field_size_limit(1 << 30)
            yield from csv.DictReader(io.StringIO(text, newline=""))
        else:
            # Only newlines end a line: JSON may hold other separators.
            yield from (json_of(line) for line in text.split("\n") if line)

    def check_row(self, row: dict[str, Any], place: tuple[int, int], form: str) -> None:
        """The row must say what its record says, and its record must be proved."""
        try:
            raw = self.source.read(f"proofs/{place[0]}-{place[1]}.tlog-proof")
            proof = parse_proof(raw)
        except OSError:
            self.find(UNKNOWN, place, "there is no proof of this event in the export (--proofs)")
            return
        seen = check_proof(raw, self.keys.keys, check=self.keys.check)
        origin = f"{self.manifest['namespace']}/{place[0]}/{self.parts[place[0]]['epoch']}"
        if seen.verdict != WHOLE:
            self.find(seen.verdict, place, seen.sentence.partition(": ")[2])
            return
        if seen.position != place[1] or not seen.origin.endswith("/" + origin):
            self.find(TAMPERED, place, f"its proof is of position {seen.position} of {seen.origin}")
            return
        event = seen.event or {}
        leaf = hashlib.sha256(b"\0" + (proof.record or b"")).hexdigest()
        said = {**event, "subject": event["job"], "leaf": leaf, "partition": place[0]}
        said.update(time=_time(event["at"]), epoch=origin.rpartition("/")[2])
        for column, attribute in COLUMNS.items():
            name = attribute if form == "cloudevents" else column
            if str(row.get(name, "")) != str(said[column]):
                text = f"{name} is {row.get(name, '')!r} in the export, {said[column]!r} in the log"
                self.find(TAMPERED, place, text)
                return
        by = event["by"].partition(":")[2] or event["by"]
        shown = row.get("authid", "") == by if form == "cloudevents" else row["by"] == event["by"]
        if not shown:
            self.find(TAMPERED, place, f"who caused the event was {event['by']!r}")


def _time(at: int) -> str:
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return f"{start + datetime.timedelta(microseconds=at):%Y-%m-%dT%H:%M:%S.%fZ}"


# ---------------------------------------------------------------------------------------------------------
# The command


def keys_of(given: Sequence[str]) -> list[Key]:
    """Verifier keys, each as text or as a file with one per line."""
    keys = []
    for each in given:
        text = each
        if os.path.exists(each):
            with open(each, encoding="utf-8") as file:
                text = file.read()
        elif each.count("+") < 2:
            raise BadDataError(
                f"{each!r} is no verifier key, NAME+ID+KEY, and there is no such file either"
            )
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            raise BadDataError(f"{each!r} holds no key")
        keys += [parse_key(line) for line in lines]
    return keys


def moment(text: str) -> int:
    """Microseconds since 1970 of an ISO 8601 time; UTC where it names no zone."""
    when = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.timezone.utc)
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (when - start) // datetime.timedelta(microseconds=1)


def root_and_prefix(path: str) -> tuple[str, str]:
    """The archive's own folder, and the prefix of what is asked for: the archive, or a part of its log."""
    whole = os.path.abspath(path)
    if not os.path.isdir(os.path.join(whole, "log")):
        parts = whole.split(os.sep)
        for depth in (1, 2, 3, 4):
            if len(parts) > depth and parts[-depth] == "log":
                return os.sep.join(parts[:-depth]) or os.sep, "/".join(parts[-depth:]) + "/"
    return whole, "log/"


class Parser(argparse.ArgumentParser):
    """Ends with "cannot tell" where it does not understand its arguments: argparse's 2 is "incomplete"."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXITS[UNKNOWN], f"cannot tell: {message}\n")


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="triton-verify",
        description="Checks a copy of Triton's archive, or the proof of one event, without a network.",
        epilog="Exit codes: 0 whole, 1 tampered, 2 incomplete, 3 cannot tell.",
    )
    add = made.add_argument
    add(
        "path",
        help="folder of the archive, of a part of its log or of an export, or a .tlog-proof file",
    )
    add(
        "--key",
        action="append",
        default=[],
        help="verifier key of a log or of a witness that you trust: text, or a file of them",
    )
    add("--trust-first", action="store_true", help="trust the keys that the archive names")
    add(
        "--seen",
        action="append",
        default=[],
        help="file of signed heads that you kept or got elsewhere",
    )
    add("--since", default="", help="position or time (ISO 8601) from which on records are read")
    add("--sealed", action="store_true", help="accept signed events that are not in a segment yet")
    add("--record", help="file with the event's record, for a proof that does not carry it")
    add("--json", action="store_true", help="print the whole report as JSON")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        pinned = keys_of(options.key)
        if os.path.isfile(options.path):
            record = None
            if options.record:
                with open(options.record, "rb") as file:
                    record = file.read()
            with open(options.path, "rb") as file:
                report: Any = check_proof(file.read(), pinned, record)
            sentence = report.sentence
        else:
            report = _check_folder(options, pinned)
            sentence = report.sentence()
    except (ValueError, OSError) as error:
        print(f"cannot tell: {error}", file=sys.stderr)
        return EXITS[UNKNOWN]
    if options.json:
        print(json.dumps(report.document(), indent=1))
    else:
        if isinstance(report, Report):
            for tree in report.trees:
                print(_line(tree))
            for finding in report.findings:
                if finding is not report.worst:
                    print(
                        f"also {finding.verdict}, {finding.log} at {finding.position}: {finding.sentence}"
                    )
            if options.trust_first and not pinned:
                print(
                    f"trusted on first use, so keep it: {report.keys[-1] if report.keys else 'no key'}"
                )
        print(sentence)
    return EXITS[report.verdict]


def _check_folder(options: argparse.Namespace, pinned: list[Key]) -> Report:
    seen = []
    for name in options.seen:
        with open(name, "rb") as file:
            seen += [parse_head(note, name) for note in parse_notes(file.read())]
    if not os.path.isdir(options.path):
        raise BadDataError(f"there is no folder {options.path}")
    if is_export(Folder(options.path)):
        return check_export(Folder(options.path), pinned, options.trust_first)
    number = options.since.isascii() and options.since.isdigit()
    chosen = Options(
        since=int(options.since) if number else 0,
        since_at=moment(options.since) if options.since and not number else 0,
        sealed=options.sealed,
    )
    root, prefix = root_and_prefix(options.path)
    return check_archive(Folder(root), pinned, chosen, seen, prefix, options.trust_first)


def _line(tree: TreeReport) -> str:
    name = tree.origin or f"partition {tree.partition}, epoch {tree.epoch}"
    return (
        f"{name}: positions {tree.first} to {tree.last} in {tree.segments} segments; "
        f"{tree.heads} signed heads, the newest of size {tree.newest_head}"
        + "".join(f"; {text}" for text in (expired_of(tree), ended_of(tree)) if text)
        + "".join(f"; {name} saw {size}" for name, size in sorted(tree.witnesses.items()))
    )


def run() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    run()
