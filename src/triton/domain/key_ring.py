"""Owns the keys that seal tenants' secrets: a ring in a file, one of them active, the others to open with."""

from __future__ import annotations

import base64
import secrets
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from triton import disk
from triton.errors import ConfigurationError, DecodeError
from triton.setting_urls import path_of

_BYTES: Final = 32
_NONCE: Final = 12
_EXPECTED: Final = "expected file:///path of the ring, the same for the API and the workers"


class Sealed(NamedTuple):
    """A secret as it lies in the database: under which key, with which nonce."""

    key: str
    nonce: bytes
    sealed: bytes


class KeyRing(msgspec.Struct, frozen=True):
    """Keys by their ids, base64 of 32 bytes each; `active` seals."""

    active: str
    keys: dict[str, str]

    def seal(self, plain: bytes, *, tenant: str, name: str, version: int) -> Sealed:
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._cipher(self.active).encrypt(nonce, plain, _context(tenant, name, version))
        return Sealed(self.active, nonce, sealed)

    def open(self, sealed: Sealed, *, tenant: str, name: str, version: int) -> bytes:
        """Raises ConfigurationError where the ring has not the key, DecodeError for bytes that were changed,
        or that are of another tenant, name or version."""
        if sealed.key not in self.keys:
            raise ConfigurationError(
                f"the secret {name!r} is sealed under the key {sealed.key}, which the ring has not: "
                "put the key back (TRITON_TENANT_KEYS)",
                key=sealed.key,
            )
        try:
            context = _context(tenant, name, version)
            return self._cipher(sealed.key).decrypt(sealed.nonce, sealed.sealed, context)
        except InvalidTag as error:
            raise DecodeError(
                f"the secret {name!r} does not open with its key {sealed.key}: its row was changed, or "
                "comes from another tenant",
                key=sealed.key,
            ) from error

    def rotated(self) -> KeyRing:
        """With a new key that seals from now on."""
        key = secrets.token_hex(8)
        made = base64.b64encode(secrets.token_bytes(_BYTES)).decode()
        return KeyRing(key, {**self.keys, key: made})

    def only(self, kept: set[str]) -> KeyRing:
        """Without the keys that nothing is sealed under any more."""
        kept = {*kept, self.active}
        return KeyRing(self.active, {name: key for name, key in self.keys.items() if name in kept})

    def _cipher(self, key: str) -> AESGCM:
        return AESGCM(base64.b64decode(self.keys[key]))


class RingFile:
    """The ring's file, readable by its owner alone. It is read anew each time: a rotation is seen at once."""

    def __init__(self, url: str) -> None:
        path = path_of(url)
        if path is None:
            said = f"TRITON_TENANT_KEYS is {url!r}" if url else "TRITON_TENANT_KEYS is not set"
            raise ConfigurationError(f"{said}, {_EXPECTED}", setting="tenant_keys")
        self._path = path

    def read(self) -> KeyRing:
        """The ring; made where there is none. Raises ConfigurationError."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return self._first()
        except OSError as error:
            raise ConfigurationError(f"the ring {self._path} cannot be read: {error}") from error
        try:
            ring = msgspec.json.decode(text, type=KeyRing)
            fits = {len(base64.b64decode(key, validate=True)) for key in ring.keys.values()}
        except (msgspec.MsgspecError, ValueError) as error:
            raise ConfigurationError(f"the ring {self._path} is malformed: {error}") from error
        if fits != {_BYTES} or ring.active not in ring.keys:
            raise ConfigurationError(
                f"the ring {self._path} is malformed: each key has {_BYTES} bytes, one of them is active"
            )
        return ring

    def write(self, ring: KeyRing) -> None:
        """In place of what was there, whole or not at all."""
        disk.replace(self._path, _encoded(ring))

    def _first(self) -> KeyRing:
        ring = KeyRing("", {}).rotated()
        try:
            disk.make_folders(self._path.parent, 0o700)
            # Of two processes that make the first ring, one wins, and both use that one.
            made = disk.create_once(self._path, _encoded(ring))
        except OSError as error:
            raise ConfigurationError(f"the ring {self._path} cannot be made: {error}") from error
        return ring if made else self.read()


def _encoded(ring: KeyRing) -> bytes:
    return msgspec.json.format(msgspec.json.encode(ring)) + b"\n"


def _context(tenant: str, name: str, version: int) -> bytes:
    return f"triton.secret/1\0{tenant}\0{name}\0{version}".encode()
