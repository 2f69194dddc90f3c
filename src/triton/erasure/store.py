"""Owns what a store of subject keys promises.

A store lies outside the log, the archive and their backups: whoever loses it has lost all personal data, and
whoever keeps a copy of it can undo an erasure.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple, Protocol

from triton.errors import ErasedError, UnavailableError


class Destroyed(NamedTuple):
    """A key that is gone. `at` in microseconds since 1970; `now`: this call destroyed it."""

    key: str
    at: int
    now: bool


class KeyStore(Protocol):
    """Holds one blob for each key id. Every method raises UnavailableError where it does not answer."""

    def pepper(self) -> bytes:
        """The store's own secret: without it nobody can tell a subject by a key's id."""

    def make(self, key_id: str, blob: bytes) -> bytes:
        """Keep the blob unless there is one; answers the one that counts. Raises ErasedError."""

    def read(self, key_id: str) -> bytes | None:
        """The blob, or None for a key that was never made. Raises ErasedError."""

    def destroy(self, key_id: str) -> Destroyed:
        """Remove the blob for good; no key of this id is ever made again. A repeat changes nothing."""

    def erased_at(self, key_id: str) -> int | None:
        """When the key was destroyed, in microseconds since 1970."""

    def close(self) -> None: ...


def key_id(pepper: bytes, tenant: str, subject: str) -> str:
    """The id of a subject's key: 32 hex digits that say nothing to whoever has not the store."""
    named = len(tenant).to_bytes(4, "big") + tenant.encode() + subject.encode()
    return hmac.new(pepper, named, hashlib.sha256).hexdigest()[:32]


def erased(key: str) -> ErasedError:
    return ErasedError(
        f"the data subject of key {key} was erased: what was sealed for it cannot be read again, and no new "
        "data of it is taken",
        key=key,
    )


def away(store: str, error: Exception) -> UnavailableError:
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return UnavailableError(f"the store of subject keys ({store}) does not answer: {said}")
