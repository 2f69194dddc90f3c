"""Owns what an API key looks like, and what is kept of it. Pure but for the randomness of a new one.

    trk_<12 characters>_<43 characters>

The first part is shown in lists and events; the second is 256 random bits, which nobody can guess. Only
SHA-256 of the whole is kept. A slow hash like argon2 is for passwords: it makes guesses expensive, and there
are 2^256 to make here; a fast one lets every request be checked.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final, NamedTuple

MARK: Final = "trk_"
_ALPHABET: Final = "abcdefghijkmnopqrstuvwxyz23456789"
_PREFIX: Final = 12
_KEY: Final = re.compile(r"trk_([a-z0-9]{12})_[A-Za-z0-9_-]{43}", re.ASCII)


class NewKey(NamedTuple):
    """A key that was made now: its text is shown once. The name of the class keeps it out of `repr`."""

    text: str
    prefix: str
    sha256: bytes

    def __repr__(self) -> str:
        return f"NewKey({self.prefix})"


def new_key() -> NewKey:
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX))
    text = f"{MARK}{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(text, prefix, digest(text))


def prefix_of(text: str) -> str:
    """The visible part; empty for what is no key."""
    found = _KEY.fullmatch(text)
    return found[1] if found else ""


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
