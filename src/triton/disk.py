"""Owns writing small files that matter: private to their owner, whole or not at all, and on the disk.

A name survives a power cut only when its folder was flushed after it was made.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def create(path: Path, content: bytes) -> None:
    """A new file that its owner alone may read. Raises FileExistsError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def create_once(path: Path, content: bytes) -> bool:
    """The same, whole or not at all, unless there is one; whether it is new. Of many who do this at once one
    wins, and all find the same file."""
    aside = _aside(path)
    try:
        create(aside, content)
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        aside.unlink(missing_ok=True)
        sync_folder(path.parent)
    return True


def replace(path: Path, content: bytes) -> None:
    """Put a file in the place of the one that is there, if any: readers see one or the other."""
    aside = _aside(path)
    try:
        create(aside, content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
        sync_folder(path.parent)


def make_folders(folder: Path, mode: int = 0o777) -> None:
    """A folder and those above it, as far as they are missing."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(mode=mode, exist_ok=True)
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}")
