"""Owns asking a store whether it keeps its promises: who writes first wins, and what is there stays."""

from __future__ import annotations

import contextlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from triton.archive.store import ArchiveStore
from triton.errors import ConfigurationError, ConflictError, UnavailableError

#: Writers of one key at the same time.
RACERS: Final = 8


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What a store did. `winners`: how many of RACERS writers of one key, each with content of its own, were
    told that theirs is there."""

    winners: int
    #: Whether what is read is a winner's content.
    kept: bool
    #: Whether a later writer was refused, and the object is as it was.
    refused: bool
    #: Whether a range of it is that range.
    ranged: bool

    @property
    def creates_once(self) -> bool:
        return self.winners == 1 and self.kept and self.refused


def probe(archive: ArchiveStore) -> Probe:
    """Write one small object, eight times at once and once again, and remove it.

    Raises UnavailableError, ConfigurationError.
    """
    key = f"probe/{secrets.token_hex(12)}"
    contents = [f"racer {number} {key}".encode() for number in range(RACERS)]
    try:
        with ThreadPoolExecutor(RACERS) as pool:
            won = list(pool.map(lambda content: _put(archive, key, content), contents))
        there = archive.read(key)
        refused = not _put(archive, key, b"late") and archive.read(key) == there
        return Probe(
            winners=won.count(True),
            kept=there in [content for content, first in zip(contents, won, strict=True) if first],
            refused=refused,
            ranged=archive.read_range(key, 3, 5) == there[3:8],
        )
    finally:
        with contextlib.suppress(UnavailableError):
            archive.delete(key)


def check_creates_once(archive: ArchiveStore) -> None:
    """Raises ConfigurationError where the store would replace what is there."""
    found = probe(archive)
    if not found.creates_once:
        raise ConfigurationError(
            f"the archive does not create objects once: {found.winners} of {RACERS} writers of one key were "
            f"told that theirs is there{'' if found.refused else ', and a later one replaced it'}; nothing "
            "is archived there, and nothing is trimmed: use a store, or a version of it, that honours "
            "If-None-Match",
            setting="archive_url",
        )


def _put(archive: ArchiveStore, key: str, content: bytes) -> bool:
    try:
        archive.put_new(key, content)
    except ConflictError:
        return False
    return True
