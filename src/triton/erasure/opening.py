"""Owns the choice of a store of subject keys by its URL."""

from __future__ import annotations

from typing import Final

from triton.erasure.store import KeyStore
from triton.errors import ConfigurationError
from triton.setting_urls import path_of

_EXPECTED: Final = (
    "expected file:///folder (the same for all) or postgresql://... of a database of its own"
)


def open_store(url: str) -> KeyStore:
    """The store behind `file:///folder` or `postgresql://...`. Raises ConfigurationError."""
    folder = path_of(url)
    if folder is not None and folder.is_absolute():
        from triton.erasure.files import FileKeys

        return FileKeys(folder)
    if url.partition("://")[0] in ("postgresql", "postgres"):
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
