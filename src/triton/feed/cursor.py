"""Owns the cursor: what a client remembers of the log, as short safe ASCII bound to one tenant. Pure.

Layout before base64url: version, epoch id (4 bytes), first partition, the lowest position, then each
position less the lowest (all varints), then 8 bytes of keyed BLAKE2b (RFC 7693) over the tenant and the
rest. One partition takes 20 to 32 characters; 64 hold about ten partitions that run side by side.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

#: Characters of a cursor at most: longer ones make browsers ask for permission across origins.
MAX_LENGTH: Final = 64
_VERSION: Final = 2
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_MAC: Final = 8
_BYTES: Final = [bytes((number,)) for number in range(0x80)]
_SHORTEST: Final = 1 + 4 + 3 + _MAC
#: So many tenants are remembered before all are forgotten.
_TENANTS: Final = 1024

#: Why a text is no cursor to resume from. `invalid`: not one of ours, or of another tenant (the two must
#: look alike). `epoch`: from another life of the log. `future`: past the end of the log. `partition`: it
#: does not cover what is asked for. `trimmed`, `gap`: the events after it are not all there any more.
Reason: TypeAlias = Literal["invalid", "epoch", "future", "partition", "trimmed", "gap"]


class Cursor(msgspec.Struct, frozen=True):
    """All events up to these positions were seen; of the partitions first, first+1, ..."""

    epoch: str
    first: int
    positions: tuple[int, ...]

    def position(self, partition: int) -> int | None:
        """How far it is in a partition; None where it says nothing of it."""
        index = partition - self.first
        return self.positions[index] if 0 <= index < len(self.positions) else None


@lru_cache(maxsize=1024)
def epoch_id(epochs: Sequence[str]) -> str:
    """8 hex digits that name the life of the log in these partitions."""
    return hashlib.sha256("\0".join(epochs).encode()).hexdigest()[:8]


class Signer:
    """Writes and reads cursors under one secret key; the same key in every process that serves a log."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        #: What has hashed the key and a tenant already, and waits for a cursor.
        self._begun: dict[str, hashlib.blake2b] = {}

    def write(self, cursor: Cursor, tenant: str) -> str:
        """Raises ValueError for a cursor of too many partitions to fit."""
        if len(cursor.positions) == 1:
            (low,), steps = cursor.positions, _BYTES[0]
        else:
            low = min(cursor.positions)
            steps = b"".join([_varint(position - low) for position in cursor.positions])
        raw = _head(cursor.epoch, cursor.first) + _varint(low) + steps
        text = _base64(raw + self._mac(raw, tenant)).decode()
        if len(text) > MAX_LENGTH:
            raise ValueError(
                f"a cursor of {len(cursor.positions)} partitions has {len(text)} characters, "
                f"at most {MAX_LENGTH} are safe: ask for fewer partitions on one connection"
            )
        return text

    def read(self, text: str, tenant: str) -> Cursor | Literal["invalid"]:
        """The cursor of a text that this key wrote for this tenant."""
        raw = _unbase64(text)
        if raw is None or len(raw) < _SHORTEST or raw[0] != _VERSION:
            return "invalid"
        signed, mac = raw[:-_MAC], raw[-_MAC:]
        if not hmac.compare_digest(mac, self._mac(signed, tenant)):
            return "invalid"
        first, low, *above = _varints(signed[5:])
        return Cursor(signed[1:5].hex(), first, tuple(low + step for step in above))

    def _mac(self, raw: bytes, tenant: str) -> bytes:
        begun = self._begun.get(tenant)
        if begun is None:
            if len(self._begun) >= _TENANTS:
                self._begun.clear()
            said = tenant.encode() + b"\0"
            begun = self._begun[tenant] = hashlib.blake2b(said, key=self._key, digest_size=_MAC)
        mac = begun.copy()
        mac.update(raw)
        return mac.digest()


@lru_cache(maxsize=1024)
def _head(epoch: str, first: int) -> bytes:
    return bytes((_VERSION,)) + bytes.fromhex(epoch) + _varint(first)


def _base64(raw: bytes) -> bytes:
    """As RFC 4648 section 5 has it for URLs, without padding."""
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=")


def _unbase64(text: str) -> bytes | None:
    """Bytes of exactly the text that `write` makes of them: no padding, no second spelling."""
    if len(text) > MAX_LENGTH or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _base64(raw).decode() == text else None


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _BYTES[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varints(raw: bytes) -> list[int]:
    numbers, number, shift = [], 0, 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number, shift = 0, 0
    return numbers
