"""Owns signed notes and tree heads as text: parse, format, sign and verify. Pure.

The formats are C2SP's: signed-note, tlog-checkpoint, and the Ed25519 form of tlog-cosignature. Parsing is
strict: each note has one spelling, so that a changed byte is never overlooked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from triton.errors import EvidenceError
from triton.evidence.tree import HASH_BYTES

ED25519: Final = 1
#: A witness: its signature says when it saw the tree head.
COSIGNATURE: Final = 4
#: More signatures are refused; C2SP asks for 16 at least.
MAX_SIGNATURES: Final = 64

_SIGNATURE_BYTES: Final = 64
_LINE = re.compile("— ([^ ]+) ([A-Za-z0-9+/=]+)")
_NUMBER = re.compile("0|[1-9][0-9]{0,18}")


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key with the name that it signs as."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def id(self) -> bytes:
        raw = self.name.encode() + b"\n" + bytes((self.kind,)) + self.public
        return hashlib.sha256(raw).digest()[:4]

    def __str__(self) -> str:
        """C2SP's text: `name+id+key`."""
        return f"{self.name}+{self.id.hex()}+{encode(bytes((self.kind,)) + self.public)}"


class Signer(Protocol):
    """Whoever can sign as `key`."""

    @property
    def key(self) -> VerifierKey: ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes of Ed25519. Raises UnavailableError where the key is held by a service."""


class Signature(msgspec.Struct, frozen=True):
    name: str
    id: bytes
    value: bytes


class Note(msgspec.Struct, frozen=True):
    """Text that ends with a newline, and who signed it."""

    text: str
    signatures: tuple[Signature, ...]

    def __bytes__(self) -> bytes:
        lines = [f"— {s.name} {encode(s.id + s.value)}\n" for s in self.signatures]
        return f"{self.text}\n{''.join(lines)}".encode()


class TreeHead(msgspec.Struct, frozen=True):
    """What a checkpoint says: how many events the tree of this origin has, and its root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join((self.origin, str(self.size), encode(self.root), *self.extensions, ""))


def parse_key(text: str) -> VerifierKey:
    """A verifier key of its text. Raises EvidenceError."""
    name, _, rest = text.strip().partition("+")
    key_id, _, raw = rest.partition("+")
    data = decode(raw)
    if data is None or len(data) != 33 or data[0] not in (ED25519, COSIGNATURE):
        raise EvidenceError(
            f"{text[:120]!r} is no verifier key: expected NAME+ID+KEY with an Ed25519 key"
        )
    key = VerifierKey(checked_name(name), data[1:], data[0])
    if key.id.hex() != key_id:
        raise EvidenceError(
            f"the verifier key {text[:120]!r} has the id {key_id!r}, but its name and key have "
            f"{key.id.hex()}: it was changed or copied badly; take it from its source again"
        )
    return key


def checked_name(name: str) -> str:
    """The name itself where a key or an origin may have it. Raises EvidenceError."""
    if not name or "+" in name or any(c.isspace() or not c.isprintable() for c in name):
        raise EvidenceError(
            f"{name!r} is no name for a key: expected text without spaces and '+', "
            "such as example.com/triton"
        )
    return name


def parse_note(raw: bytes) -> Note:
    """Raises EvidenceError for anything that is not exactly a signed note. Checks no signature."""
    try:
        whole = raw.decode()
    except UnicodeDecodeError as error:
        raise _malformed("it is not UTF-8") from error
    if any(c < " " and c != "\n" for c in whole):
        raise _malformed("it holds a control character")
    text, blank, rest = whole.rpartition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise _malformed("expected text, an empty line, and signature lines")
    lines = rest[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise _malformed(f"it has {len(lines)} signatures, at most {MAX_SIGNATURES} are read")
    return Note(text + "\n", tuple(_parse_signature(line) for line in lines))


def parse_head(text: str) -> TreeHead:
    """The tree head in a note's text. Raises EvidenceError."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise _malformed("a tree head is an origin, a size and a root, each on its own line")
    origin, size, root, *extensions = lines
    hashed = decode(root)
    if not _NUMBER.fullmatch(size):
        raise _malformed(f"its size is {size[:40]!r}, expected a decimal number")
    if hashed is None or len(hashed) != HASH_BYTES:
        raise _malformed(f"its root is {root[:60]!r}, expected the base64 of 32 bytes")
    return TreeHead(origin, int(size), hashed, tuple(extensions))


def sign(text: str, signers: Sequence[Signer]) -> Note:
    """The note of this text, signed by each."""
    message = text.encode()
    return Note(text, tuple(Signature(s.key.name, s.key.id, s.sign(message)) for s in signers))


def sign_head(head: TreeHead, signers: Sequence[Signer]) -> bytes:
    """A checkpoint's bytes."""
    return bytes(sign(str(head), signers))


def verify(note: Note, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Those of `keys` that signed the note, one at least.

    Raises EvidenceError when none did, and when a signature of one of them is wrong. Signatures of
    unknown keys are ignored, as C2SP demands.
    """
    known = {(key.name, key.id): key for key in keys}
    good: list[VerifierKey] = []
    for signature in note.signatures:
        key = known.get((signature.name, signature.id))
        if key is None:
            continue
        if not signed(key, note.text, signature.value):
            raise EvidenceError(
                f"the signature of {key.name} ({key.id.hex()}) is wrong: the text or the signature "
                "was changed after it was signed"
            )
        good.append(key)
    if not good:
        names = ", ".join(f"{s.name} ({s.id.hex()})" for s in note.signatures)
        wanted = ", ".join(f"{key.name} ({key.id.hex()})" for key in keys) or "none"
        raise EvidenceError(
            f"no signature is by a key that is trusted here: signed by {names}; trusted is {wanted}"
        )
    return good


def open_head(raw: bytes, keys: Sequence[VerifierKey], origin: str) -> TreeHead:
    """The tree head in a checkpoint that one of `keys` signed, for this origin. Raises EvidenceError."""
    note = parse_note(raw)
    verify(note, [key for key in keys if key.kind == ED25519])
    head = parse_head(note.text)
    if head.origin != origin:
        raise EvidenceError(
            f"the tree head is of the log {head.origin!r}, expected one of {origin!r}: "
            "it belongs to another log"
        )
    return head


def signed(key: VerifierKey, text: str, value: bytes) -> bool:
    """Whether `value` is the key's signature of this text."""
    message = text.encode()
    if key.kind == COSIGNATURE:
        seconds = cosigned_at(value)
        if seconds is None:
            return False
        message = f"cosignature/v1\ntime {seconds}\n".encode() + message
        value = value[8:]
    if len(value) != _SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(value, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def cosigned_at(value: bytes) -> int | None:
    """The time in a witness's signature, in seconds; None where it cannot be one."""
    if len(value) != 8 + _SIGNATURE_BYTES:
        return None
    seconds = int.from_bytes(value[:8])
    return seconds if seconds < 1 << 63 else None


def encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def decode(text: str) -> bytes | None:
    """The bytes of base64 text in its one canonical spelling; None for any other text."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if encode(raw) == text else None


def _parse_signature(line: str) -> Signature:
    match = _LINE.fullmatch(line)
    raw = decode(match[2]) if match else None
    if match is None or raw is None or len(raw) < 5:
        raise _malformed(f"{line[:80]!r} is no signature line")
    return Signature(checked_name(match[1]), raw[:4], raw[4:])


def _malformed(what: str) -> EvidenceError:
    return EvidenceError(f"this is no signed note: {what}")
