"""Owns what a backup says of itself: `backup.json`, written last, and the names of its files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from triton import disk
from triton.errors import ConflictError, NotFoundError

FILE: Final = "backup.json"
FORMAT: Final = 1
#: PostgreSQL, as pg_dump writes it.
POSTGRES: Final = "postgres.dump"
#: Folders: the archive's objects, the log's tail, ClickHouse's own tables, keys.
ARCHIVE: Final = "archive"
LOG: Final = "log"
TABLES: Final = "clickhouse"
KEYS: Final = "keys"


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """How far a partition's log is in the backup. Positions; 0 for none."""

    partition: int
    epoch: str
    #: The last one that is sealed in the archive's copy, and the last one at all.
    archived: int
    end: int


class File(msgspec.Struct, frozen=True):
    """A file besides the archive's objects: its path below the backup, its SHA-256 in hex, its bytes."""

    path: str
    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole backup."""

    format: int = FORMAT
    #: When it was begun, in RFC 3339: everything that was acknowledged before is in it.
    made_at: str
    #: The version of Triton that took it.
    triton: str
    namespace: str
    origin: str
    partitions: tuple[Partition, ...]
    files: tuple[File, ...]
    #: Objects of the archive and their bytes; None where the archive is not in it.
    objects: int | None
    object_bytes: int
    #: Whether the keys of data subjects were copied, to a folder of their own.
    subject_keys: bool


def write(folder: Path, manifest: Manifest) -> None:
    """Makes the backup one."""
    put(folder / FILE, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def read(folder: Path) -> Manifest:
    """Raises NotFoundError for a folder that is no whole backup, ConflictError for one that cannot be read
    here."""
    try:
        raw = (folder / FILE).read_bytes()
        found = msgspec.json.decode(raw, type=Manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"{folder} is no whole backup: it has no {FILE}, which is written last"
        ) from error
    except msgspec.MsgspecError as error:
        raise ConflictError(f"{folder / FILE} is not what Triton wrote ({error})") from error
    if found.format != FORMAT:
        raise ConflictError(
            f"{folder} is a backup of format {found.format}, and this version of Triton reads {FORMAT}: "
            f"it was taken by {found.triton}"
        )
    return found


def check(folder: Path) -> Manifest:
    """The manifest of a backup whose files are all there, as they were written. Raises NotFoundError,
    ConflictError."""
    manifest = read(folder)
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            raise ConflictError(f"{path} is missing: take another copy of this backup")
        if described(folder, path) != file:
            raise ConflictError(
                f"{path} is not as it was written: take another copy of this backup"
            )
    if manifest.objects is not None:
        sizes = [path.stat().st_size for path in (folder / ARCHIVE).rglob("*") if path.is_file()]
        if (len(sizes), sum(sizes)) != (manifest.objects, manifest.object_bytes):
            raise ConflictError(
                f"{folder / ARCHIVE} holds {len(sizes)} objects of {sum(sizes)} bytes, expected "
                f"{manifest.objects} of {manifest.object_bytes}: take another copy of this backup"
            )
    return manifest


def described(folder: Path, path: Path) -> File:
    """A file as the manifest names it."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return File(path.relative_to(folder).as_posix(), digest, path.stat().st_size)


def put(path: Path, content: bytes) -> None:
    """A new file, readable by its owner only, on the disk. Raises FileExistsError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    disk.create(path, content)
