"""Owns how a sealed value looks, and how it is sealed and opened with a subject's key. Pure but for a nonce.

AES-256-GCM with a random nonce; the job's id and the value's place are authenticated with it, so an envelope
that is moved to another job or another field does not open. A value is a dict with one reserved name; a text
that must stay a text is one word. Neither names the subject: `k` is the key's id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from typing import Any, Final

import msgspec

from triton.errors import DecodeError

#: The one name of a sealed value. No parameter of a function can have it.
MARK: Final = "triton.personal"
_RAW_MARK: Final = MARK.encode()
_NONCE: Final = 12
_WORD: Final = re.compile(MARK.replace(".", r"\.") + r":([0-9a-f]{32}):([A-Za-z0-9_-]+)")
_IN_JSON: Final = re.compile(
    rb'\{"triton\.personal":\s?\{(?:"[ck]":\s?"[A-Za-z0-9_-]*"(?:,\s?)?){2}\}\}'
    rb"|triton\.personal:[0-9a-f]{32}:[A-Za-z0-9_-]+"
)
_IN_JSON_WHOLE: Final = b'"[personal]"'
SHOWN: Final = "[personal]"


class Key:
    """A subject's key in memory. `id` is what envelopes name; it says nothing about the subject."""

    __slots__ = ("_cipher", "_mac", "id")

    def __init__(self, key_id: str, secret: bytes) -> None:
        # Everybody who shows JSON imports this module, and few ever open anything.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.id = key_id
        self._cipher = AESGCM(hmac.digest(secret, b"triton seal", "sha256"))
        self._mac = hmac.digest(secret, b"triton compare", "sha256")

    def __repr__(self) -> str:
        return f"<Key {self.id}>"

    def seal(self, plain: bytes, job: str, place: str) -> str:
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, plain, _context(job, place))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, sealed: str, job: str, place: str) -> bytes:
        """Raises DecodeError for what was not sealed with this key, for this job and place."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], _context(job, place))
        except (InvalidTag, ValueError) as error:
            raise DecodeError(
                f"the personal value at {place} of job {job} does not open with its key {self.id}: its bytes "
                "were changed, or it was taken from another job or field",
                job=job,
            ) from error

    def token(self, plain: bytes) -> str:
        """Equal for equal values of a subject, and nothing that could be guessed without the key."""
        return hmac.new(self._mac, plain, hashlib.sha256).hexdigest()[:32]


class Envelope(msgspec.Struct, frozen=True):
    """A sealed value: what it holds, and under which key."""

    c: str
    k: str

    def marked(self) -> dict[str, Any]:
        """As it stands in place of the value."""
        return {MARK: {"c": self.c, "k": self.k}}

    def word(self) -> str:
        """As it stands in place of a text."""
        return f"{MARK}:{self.k}:{self.c}"


def envelope_in(value: object) -> Envelope | None:
    """The envelope that stands in place of a value, or is a text; None for any other value."""
    if isinstance(value, str):
        found = _WORD.fullmatch(value)
        return None if found is None else Envelope(c=found[2], k=found[1])
    if not isinstance(value, dict) or value.keys() != {MARK}:
        return None
    try:
        return msgspec.convert(value[MARK], Envelope)
    except msgspec.ValidationError:
        return None


def masked_json(line: bytes) -> bytes:
    """JSON with `[personal]` in place of every envelope."""
    return _IN_JSON.sub(_mask, line) if _RAW_MARK in line else line


def masked(value: Any) -> Any:
    """A plain value with `[personal]` in place of every envelope."""
    if isinstance(value, str):
        return _WORD.sub(SHOWN, value) if MARK in value else value
    if envelope_in(value) is not None:
        return SHOWN
    if isinstance(value, dict):
        return {name: masked(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(each) for each in value]
    return value


def _mask(found: re.Match[bytes]) -> bytes:
    return _IN_JSON_WHOLE if found[0].startswith(b"{") else SHOWN.encode()


def _context(job: str, place: str) -> bytes:
    return f"triton.personal/1\0{job}\0{place}".encode()
