"""Owns what the doctor wants of the store of subject keys: it answers, and lies apart from what it seals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from triton.cli.checks.finding import Finding
from triton.setting_urls import path_of
from triton.settings import Settings

_ABOUT: Final = "keys"
_APART: Final = (
    "Keep it apart, and back it up apart: whoever has a copy of a key can undo an erasure."
)


def check(settings: Settings) -> Iterator[Finding]:
    """Makes no key. Raises ConfigurationError, UnavailableError."""
    from triton.erasure.keyring import keyring_of

    if not settings.subject_keys:
        what = "there is no store of subject keys: jobs with personal data are refused"
        yield Finding("ok", _ABOUT, what)
        return
    with closing(keyring_of(settings)) as keyring:
        keyring.knows("", "triton doctor")
    yield Finding("ok", _ABOUT, "the store of subject keys answers")
    folder = path_of(settings.subject_keys)
    if folder is not None:
        yield from _folder(folder, settings)
    elif _database(settings.subject_keys) == _database(settings.database_url):
        what = "subject keys lie in the database of the projections, and so in its backups"
        yield Finding("warn", _ABOUT, what, _APART)


def _folder(folder: Path, settings: Settings) -> Iterator[Finding]:
    archive = path_of(settings.archive_url)
    if archive is not None and folder.resolve().is_relative_to(archive.resolve()):
        yield Finding("fail", _ABOUT, f"{folder} lies in the archive that it seals", _APART)
    if folder.stat().st_mode & 0o077:
        what = f"{folder} can be entered by others than its owner"
        yield Finding("warn", _ABOUT, what, f"chmod 700 {folder}")


def _database(url: str) -> dict[str, object]:
    from psycopg.conninfo import conninfo_to_dict

    said = conninfo_to_dict(url)
    return {name: said.get(name) for name in ("host", "port", "dbname")}
