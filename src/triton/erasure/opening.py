"""Owns the choice of a store of subject keys by its URL."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from triton.erasure.store import KeyStore
from triton.errors import ConfigurationError

_EXPECTED: Final = (
    "expected file:///folder (the same for all) or postgresql://... of a database of its own"
)


def open_store(url: str) -> KeyStore:
    """The store behind `file:///folder` or `postgresql://...`. Raises ConfigurationError."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        from triton.erasure.files import FileKeys

        return FileKeys(Path(unquote(parts.path)))
    if parts.scheme in ("postgresql", "postgres"):
        from triton.erasure.postgres import PostgresKeys

        return PostgresKeys(url)
    raise ConfigurationError(
        f"TRITON_SUBJECT_KEYS is {url!r}, {_EXPECTED}" if url else _not_set(),
        setting="subject_keys",
    )


def _not_set() -> str:
    return (
        "TRITON_SUBJECT_KEYS is not set, and a job has personal data: set it for every sender and worker, "
        f"{_EXPECTED}"
    )
