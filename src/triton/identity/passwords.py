"""Owns passwords: how they are hashed, checked and upgraded. Slow on purpose, so in threads, and few at once.

Hashes are argon2id with the second recommendation of RFC 9106 (64 MiB, three passes). bcrypt hashes that
were made elsewhere are accepted, and replaced at the next login.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from typing import Final, NamedTuple

import argon2
import bcrypt

from triton.errors import ValidationError

#: Characters of a new password. There are no other rules: length is what counts (NIST SP 800-63B).
LEAST: Final = 12
MOST: Final = 256
#: Hashes that one process computes at once: each takes 64 MiB.
_AT_ONCE: Final = 2
#: bcrypt knows no more bytes of a password.
_BCRYPT_BYTES: Final = 72
_BCRYPT: Final = re.compile(
    r"(\$2[aby]\$)([0-9]{2})\$([./A-Za-z0-9]{22})[./A-Za-z0-9]{31}", re.ASCII
)
#: What a hash from elsewhere may cost: who brings one that takes hours could have everybody wait for it.
_BCRYPT_COST: Final = range(4, 15)
_ARGON_KIB: Final = 262_144
_ARGON_PASSES: Final = 16
_ARGON_LANES: Final = 16


class Checked(NamedTuple):
    """`upgraded` is the hash to keep instead; empty where the stored one will do."""

    right: bool
    upgraded: str = ""


class Passwords:
    """Hashes and checks, for one process."""

    def __init__(self, kib: int = 65_536) -> None:
        low = argon2.profiles.RFC_9106_LOW_MEMORY
        self._hasher = argon2.PasswordHasher(low.time_cost, kib, low.parallelism)
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._nobodys = ""

    async def hashed(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, _normal(password))

    async def check(self, stored: str | None, password: str) -> Checked:
        """Whether it is the password. Where nothing is stored it takes as long, and is not."""
        async with self._turn:
            return await asyncio.to_thread(self._check, stored, password)

    def _check(self, stored: str | None, password: str) -> Checked:
        self._nobodys = self._nobodys or self._hasher.hash("nobody's password")
        given = _normal(password)
        if stored is not None and not self._bearable(stored):
            stored = None
        if stored is not None and is_bcrypt(stored):
            right = bcrypt.checkpw(given.encode()[:_BCRYPT_BYTES], stored.encode())
            return Checked(right, self._hasher.hash(given) if right else "")
        try:
            self._hasher.verify(stored or self._nobodys, given)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return Checked(False)
        if stored is None:
            return Checked(False)
        weak = self._hasher.check_needs_rehash(stored)
        return Checked(True, self._hasher.hash(given) if weak else "")

    def _bearable(self, stored: str) -> bool:
        # What is ours is as costly as it was set.
        return _is_usable(stored, max(self._hasher.memory_cost, _ARGON_KIB))


def check_new(password: str) -> None:
    """Raises ValidationError for a password that is too short or too long."""
    if not LEAST <= len(password) <= MOST:
        message = f"has {len(password)} characters, expected {LEAST} to {MOST}"
        raise ValidationError(
            f"password {message}", fields=[{"field": "password", "message": message}]
        )


def check_hash(stored: str) -> None:
    """Raises ValidationError for what is no hash of argon2id or bcrypt, or a too costly one."""
    if _is_usable(stored, _ARGON_KIB):
        return
    message = (
        "is no hash of argon2id or bcrypt that is taken: expected $argon2id$... (at most "
        f"m={_ARGON_KIB},t={_ARGON_PASSES},p={_ARGON_LANES}) or $2b$... (a cost of {_BCRYPT_COST.start} to "
        f"{_BCRYPT_COST.stop - 1})"
    )
    raise ValidationError(
        f"password_hash {message}", fields=[{"field": "password_hash", "message": message}]
    )


def _is_usable(stored: str, most_kib: int) -> bool:
    """Whether a password can be compared with it, in bearable time."""
    if found := _BCRYPT.fullmatch(stored):
        try:
            # The least costly hash of the same salt says whether that is one.
            bcrypt.hashpw(b"", f"{found[1]}04${found[3]}".encode())
        except ValueError:
            return False
        return int(found[2]) in _BCRYPT_COST
    try:
        known = argon2.extract_parameters(stored)
    except argon2.exceptions.InvalidHashError:
        return False
    return (
        known.type is argon2.Type.ID
        and known.memory_cost <= most_kib
        and known.time_cost <= _ARGON_PASSES
        and known.parallelism <= _ARGON_LANES
    )


def is_bcrypt(stored: str) -> bool:
    return _BCRYPT.fullmatch(stored) is not None


def _normal(password: str) -> str:
    """The same characters typed on another machine are the same password."""
    text = password.encode(errors="replace").decode()
    return unicodedata.normalize("NFC", text)
