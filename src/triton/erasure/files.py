"""Owns subject keys in a folder: one file for each, and a tombstone in place of one that was destroyed.

A tombstone is written before its key goes, and looked for after a key was made: so whichever comes last,
no key outlives an erasure.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from triton import disk
from triton.erasure.store import Destroyed, away, erased

_PEPPER: Final = 32


class FileKeys:
    """`root` and what is below it are readable by their owner only."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def pepper(self) -> bytes:
        with self._explained():
            path = self.root / "pepper"
            if not path.exists():
                self._put(path, secrets.token_bytes(_PEPPER))
            return path.read_bytes()

    def make(self, key_id: str, blob: bytes) -> bytes:
        with self._explained():
            if self._tombstone(key_id).exists():
                raise erased(key_id)
            self._put(self._path(key_id), blob)
            found = self._read(key_id)
            if self._tombstone(key_id).exists():
                _destroy(self._path(key_id))
                raise erased(key_id)
            assert found is not None
            return found

    def read(self, key_id: str) -> bytes | None:
        with self._explained():
            found = self._read(key_id)
            # Looked for after the read: what was read while a key was overwritten is none.
            if self._tombstone(key_id).exists():
                raise erased(key_id)
            return found

    def destroy(self, key_id: str) -> Destroyed:
        with self._explained():
            at = time.time_ns() // 1000
            new = self._put(self._tombstone(key_id), b"%d" % at)
            # Also on a repeat: the first one may have ended in between.
            _destroy(self._path(key_id))
            return Destroyed(key_id, self._read_time(key_id), new)

    def erased_at(self, key_id: str) -> int | None:
        with self._explained():
            return self._read_time(key_id) if self._tombstone(key_id).exists() else None

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, key_id: str) -> bytes | None:
        try:
            return self._path(key_id).read_bytes()
        except FileNotFoundError:
            return None

    def _read_time(self, key_id: str) -> int:
        return int(self._tombstone(key_id).read_bytes())

    def _path(self, key_id: str) -> Path:
        return self.root / "keys" / key_id[:2] / key_id

    def _tombstone(self, key_id: str) -> Path:
        return self.root / "erased" / key_id[:2] / key_id

    def _put(self, path: Path, data: bytes) -> bool:
        """Write a file unless it is there; whether it is new."""
        disk.make_folders(path.parent, 0o700)
        return disk.create_once(path, data)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise away(str(self.root), error) from error


def _destroy(path: Path) -> None:
    """Overwrite a file, then remove it. What a copying file system or a drive keeps is another matter."""
    with suppress(FileNotFoundError):
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            file.write(secrets.token_bytes(size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    if path.parent.is_dir():
        disk.sync_folder(path.parent)
