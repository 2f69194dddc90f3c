"""Owns which keys have signed for a namespace, in order: notes in the archive, each written once.

Note N lists N keys. The first is signed by its one key; each later one by the key before and by the new
one, so that who trusts any one key of the list can follow it to all others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

import msgspec

from triton.archive import ArchiveStore
from triton.errors import ConfigurationError, ConflictError, EvidenceError, NotFoundError
from triton.evidence import notes
from triton.evidence.notes import Signer, VerifierKey

HEADER: Final = "triton signing keys v1"


class Keyring(msgspec.Struct, frozen=True):
    """The keys of a namespace, the oldest first; the last one signs."""

    keys: tuple[VerifierKey, ...] = ()

    @property
    def newest(self) -> VerifierKey:
        return self.keys[-1]


def key_of(namespace: str, number: int) -> str:
    """The archive key of note `number`, from 1."""
    return f"log/{namespace}/keys/{number:06d}"


def text_of(namespace: str, keys: Sequence[VerifierKey]) -> str:
    return "\n".join((HEADER, namespace, *map(str, keys), ""))


def read(store: ArchiveStore, namespace: str) -> Keyring:
    """The keys that the archive lists, each link checked. Raises EvidenceError, UnavailableError."""
    ring = Keyring()
    while True:
        try:
            raw = store.read(key_of(namespace, len(ring.keys) + 1))
        except NotFoundError:
            return ring
        ring = follow(ring, namespace, raw)


def follow(ring: Keyring, namespace: str, raw: bytes) -> Keyring:
    """The list that the next note makes of this one. Raises EvidenceError where it does not follow."""
    note = notes.parse_note(raw)
    lines = note.text.split("\n")[:-1]
    keys = tuple(notes.parse_key(line) for line in lines[2:])
    if lines[:2] != [HEADER, namespace] or keys[:-1] != ring.keys or len(set(keys)) != len(keys):
        raise EvidenceError(
            f"note {len(ring.keys) + 1} of the signing keys of {namespace!r} does not list the keys before "
            "and one new key: it was changed, or belongs to another namespace"
        )
    signed = notes.verify(note, keys[-2:])
    if set(signed) != set(keys[-2:]):
        raise EvidenceError(
            f"the new signing key {keys[-1]} is not announced by the key before it: do not trust it"
        )
    return Keyring(keys)


def settle(store: ArchiveStore, namespace: str, signer: Signer) -> Keyring:
    """The namespace's keys, of which `signer` is the last: who may sign tree heads.

    Writes the first note where there is none. Raises ConfigurationError when another key signs here.
    """
    ring = read(store, namespace)
    if not ring.keys:
        note = notes.sign(text_of(namespace, [signer.key]), [signer])
        with contextlib.suppress(
            ConflictError
        ):  # another process was first: it signs, if it is the same key
            store.put_new(key_of(namespace, 1), bytes(note))
        ring = read(store, namespace)
    if ring.newest != signer.key:
        raise ConfigurationError(
            f"TRITON_SIGNING_KEY and TRITON_ORIGIN give the key {signer.key}, but this archive's heads are "
            f"signed with {ring.newest}: give the same key again, or announce the new one with "
            "`triton audit rotate-key`",
            setting="signing_key",
        )
    return ring


def rotate(store: ArchiveStore, namespace: str, old: Signer, new: Signer) -> Keyring:
    """Announces `new` as the key after `old`; repeating it changes nothing.

    Raises ConfigurationError when `old` is not the key that signs now.
    """
    ring = read(store, namespace)
    if ring.keys[-2:] == (old.key, new.key):
        return ring
    if not ring.keys or ring.newest != old.key or new.key in ring.keys:
        signs = ring.newest if ring.keys else "none"
        raise ConfigurationError(
            f"the key cannot follow: the old one given is {old.key}, the one that signs now is {signs}, and "
            "the new one must not have signed before",
            setting="signing_key",
        )
    note = notes.sign(text_of(namespace, [*ring.keys, new.key]), [old, new])
    store.put_new(key_of(namespace, len(ring.keys) + 1), bytes(note))
    return read(store, namespace)
