"""Owns subject keys in this process: made when they are first asked for, remembered for a bounded time."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from triton.erasure.envelopes import Key
from triton.erasure.opening import open_store
from triton.erasure.store import Destroyed, KeyStore, key_id
from triton.errors import ConfigurationError, DecodeError, ErasedError, NotFoundError
from triton.setting_urls import path_of
from triton.settings import Settings

_SECRET: Final = 32
_NONCE: Final = 12
#: Keys remembered at most.
_MOST: Final = 10_000


class Keyring:
    """Safe from any thread. `remember` is seconds for which a key is used without asking the store.

    `master`: 32 bytes that the stored keys are sealed with, or empty. `clock` is monotonic seconds.
    """

    def __init__(
        self,
        open_: Callable[[], KeyStore],
        *,
        remember: float,
        master: Callable[[], bytes] = lambda: b"",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_
        self._remember = remember
        self._read_master = master
        self._clock = clock
        self._lock = threading.Lock()
        self._store: KeyStore | None = None
        self._pepper = b""
        self._master: AESGCM | None = None
        self._known: dict[str, tuple[Key, float]] = {}

    def of(self, tenant: str, subject: str) -> Key:
        """The key of a subject, made if there is none. Raises ErasedError, UnavailableError."""
        store = self._begun()
        wanted = key_id(self._pepper, tenant, subject)
        known = self._find(wanted)
        if known is not None:
            return known
        blob = store.make(wanted, self._wrap(wanted, secrets.token_bytes(_SECRET)))
        return self._keep(wanted, blob)

    def get(self, wanted: str) -> Key:
        """The key that an envelope names. Raises ErasedError, NotFoundError, UnavailableError."""
        store = self._begun()
        known = self._find(wanted)
        if known is not None:
            return known
        blob = store.read(wanted)
        if blob is None:
            raise NotFoundError(
                f"the store of subject keys has no key {wanted}: it is another store than the one that the "
                "value was sealed with, or a part of it was lost",
                key=wanted,
            )
        return self._keep(wanted, blob)

    def destroy(self, tenant: str, subject: str) -> Destroyed:
        """Destroy a subject's key. A subject that never had one never gets one. Raises UnavailableError."""
        store = self._begun()
        wanted = key_id(self._pepper, tenant, subject)
        done = store.destroy(wanted)
        with self._lock:
            self._known.pop(wanted, None)
        return done

    def knows(self, tenant: str, subject: str) -> bool:
        """Whether a subject has a key, or had one. Makes none. Raises UnavailableError."""
        store = self._begun()
        try:
            return store.read(key_id(self._pepper, tenant, subject)) is not None
        except ErasedError:
            return True

    def state(self, tenant: str, subject: str) -> tuple[str, int | None]:
        """The id of a subject's key, and when it was destroyed. Makes none."""
        store = self._begun()
        wanted = key_id(self._pepper, tenant, subject)
        return wanted, store.erased_at(wanted)

    def close(self) -> None:
        with self._lock:
            store, self._store = self._store, None
            self._known.clear()
        if store is not None:
            store.close()

    def _begun(self) -> KeyStore:
        with self._lock:
            if self._store is None:
                store = self._open()
                master = self._read_master()
                self._master = AESGCM(master) if master else None
                self._pepper = store.pepper()
                self._store = store
            return self._store

    def _find(self, wanted: str) -> Key | None:
        with self._lock:
            known = self._known.get(wanted)
            if known is None:
                return None
            if known[1] <= self._clock():
                del self._known[wanted]
                return None
            return known[0]

    def _keep(self, wanted: str, blob: bytes) -> Key:
        key = Key(wanted, self._unwrap(wanted, blob))
        with self._lock:
            while len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            self._known[wanted] = (key, self._clock() + self._remember)
        return key

    def _wrap(self, wanted: str, secret: bytes) -> bytes:
        if self._master is None:
            return secret
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._master.encrypt(nonce, secret, wanted.encode())

    def _unwrap(self, wanted: str, blob: bytes) -> bytes:
        if self._master is None:
            if len(blob) == _SECRET:
                return blob
            raise ConfigurationError(
                f"the key {wanted} is sealed with a master key: set TRITON_SUBJECT_MASTER_KEY",
                setting="subject_master_key",
            )
        try:
            return self._master.decrypt(blob[:_NONCE], blob[_NONCE:], wanted.encode())
        except InvalidTag as error:
            raise DecodeError(
                f"the key {wanted} does not open with the master key: TRITON_SUBJECT_MASTER_KEY is another "
                "than the one that it was made with",
                key=wanted,
            ) from error


def keyring_of(settings: Settings) -> Keyring:
    """The keyring that the settings describe; nothing is opened before the first key is asked for."""
    return Keyring(
        lambda: open_store(settings.subject_keys),
        remember=settings.subject_cache_ms / 1000,
        master=lambda: _master(settings.subject_master_key),
    )


def _master(url: str) -> bytes:
    if not url:
        return b""
    path = path_of(url)
    if path is None:
        raise ConfigurationError(
            f"TRITON_SUBJECT_MASTER_KEY is {url!r}, expected file:///path of a file with 32 bytes",
            setting="subject_master_key",
        )
    try:
        found = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"TRITON_SUBJECT_MASTER_KEY: {path} cannot be read: {error.strerror}",
            setting="subject_master_key",
        ) from error
    if len(found) != _SECRET:
        raise ConfigurationError(
            f"TRITON_SUBJECT_MASTER_KEY: {path} has {len(found)} bytes, expected {_SECRET} "
            "(head -c 32 /dev/urandom)",
            setting="subject_master_key",
        )
    return found
