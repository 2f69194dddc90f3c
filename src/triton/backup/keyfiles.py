"""Owns keys in a backup: where the settings have them, and bringing them back.

The keys of data subjects are apart: a copy of them that is kept with the rest would undo every erasure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from triton.backup.manifest import KEYS, put
from triton.errors import ConfigurationError, ConflictError
from triton.evidence.signing import KEY_FILE
from triton.identity import credentials
from triton.identity.token_keys import folder_of
from triton.setting_urls import path_of
from triton.settings import Settings

_TOKENS: Final = "token-keys"


def places(settings: Settings) -> dict[str, Path]:
    """Name in a backup -> where it belongs: files, and the folder of token keys. What is in no file (a key
    inside KMS) is left out."""
    data = Path(settings.data).absolute()
    found = {
        KEY_FILE: path_of(settings.signing_key) if settings.signing_key else data / KEY_FILE,
        "tenant-keys.json": path_of(settings.tenant_keys),
        credentials.FILE: data / credentials.FILE,
        _TOKENS: folder_of(settings),
    }
    return {name: path for name, path in found.items() if path is not None}


def write(settings: Settings, folder: Path) -> None:
    """Copy every key that is there."""
    for name, path in places(settings).items():
        for source in _files(path):
            put(folder / KEYS / name / source.relative_to(path), source.read_bytes())


def load(settings: Settings, folder: Path) -> None:
    """Put every key where the settings look for it. Raises ConflictError where there is another one."""
    for name, place in places(settings).items():
        kept = folder / KEYS / name
        for source in _files(kept):
            _bring(source, place / source.relative_to(kept))


def subjects_of(settings: Settings) -> Path:
    """The folder of the keys of data subjects. Raises ConfigurationError where they are in no folder."""
    path = path_of(settings.subject_keys)
    if path is None:
        raise ConfigurationError(
            "TRITON_SUBJECT_KEYS names no folder: a store in PostgreSQL is copied with pg_dump, apart from "
            "this backup",
            setting="subject_keys",
        )
    return path


def copy_subjects(source: Path, target: Path) -> None:
    """Keys, and the tombstones of those that were destroyed. Raises ConflictError where there is another."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in _files(source):
        # A key on its way in has a name that begins with a dot.
        if not path.name.startswith("."):
            _bring(path, target / path.relative_to(source))


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        # A volume of Kubernetes shows each file once more, below a folder whose name begins with two dots.
        once = (
            found
            for found in path.rglob("*")
            if not found.relative_to(path).parts[0].startswith("..")
        )
        yield from sorted(found for found in once if found.is_file())


def _bring(source: Path, target: Path) -> None:
    content = source.read_bytes()
    try:
        put(target, content)
    except FileExistsError as error:
        if target.read_bytes() != content:
            raise ConflictError(
                f"{target} is there, and is another one than in the backup: restore into an empty folder"
            ) from error
