"""Owns what is said to a witness and what it answers: C2SP tlog-witness. Pure.

A witness signs a tree head only where a proof shows that the log went on from the last head that it signed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from triton.errors import ConfigurationError, EvidenceError
from triton.evidence import notes
from triton.evidence.notes import COSIGNATURE, Signature, VerifierKey

#: Statuses of C2SP: it signed; it knows another size, which is the answer's body.
SIGNED: Final = 200
OTHER_SIZE: Final = 409

_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")


class Witness(msgspec.Struct, frozen=True):
    """Who signs, and the URL before `/add-checkpoint`."""

    key: VerifierKey
    url: str


def parse_witnesses(text: str) -> tuple[Witness, ...]:
    """Of `KEY URL, KEY URL`: a verifier key of the kind 4 each. Raises ConfigurationError."""
    found = []
    for one in filter(None, map(str.strip, text.split(","))):
        name, _, url = one.partition(" ")
        try:
            key = notes.parse_key(name)
        except EvidenceError as error:
            raise _wrong(error.message) from error
        url = url.strip().rstrip("/")
        if key.kind != COSIGNATURE:
            raise _wrong(f"the key of {key.name} is no witness's: its kind is {key.kind}, not 4")
        if not re.fullmatch(r"https?://[^\s/]\S*", url):
            raise _wrong(f"after the key of {key.name} comes {url!r}, expected an http(s):// URL")
        found.append(Witness(key, url))
    return tuple(found)


def request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """Asks for a signature of a head whose tree begins with the tree of `old` events, as the proof shows."""
    lines = [f"old {old}", *map(notes.encode, proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + note


def size_in(body: bytes) -> int | None:
    """How many events the last head had that the witness signed; None where it does not say."""
    match = _SIZE.fullmatch(body)
    return int(match[1]) if match else None


def cosignatures(head: str, body: bytes, key: VerifierKey) -> list[Signature]:
    """The witness's signatures of this head in its answer. Raises EvidenceError for what is none of it."""
    note = notes.parse_note(head.encode() + b"\n" + body)
    found = [one for one in note.signatures if (one.name, one.id) == (key.name, key.id)]
    if not found or not all(notes.signed(key, head, one.value) for one in found):
        raise EvidenceError(f"{key.name} answered with what is no signature of it of this head")
    return found


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"TRITON_WITNESSES names witnesses as KEY URL, with commas between them: {what}",
        setting="witnesses",
    )
