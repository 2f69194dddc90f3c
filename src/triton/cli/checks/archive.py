"""Owns what the doctor wants of the archive: that it keeps what it is given, and creates once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from triton.cli.checks.finding import Finding
from triton.settings import Settings


def check(settings: Settings) -> Iterator[Finding]:
    """Writes one small object and removes it again. Raises UnavailableError, ConfigurationError."""
    from triton.archive import open_archive
    from triton.errors import ConflictError

    archive = open_archive(settings.archive_url)
    key = f"doctor/{secrets.token_hex(12)}"
    content = b"written by triton doctor"
    archive.put_new(key, content)
    try:
        if archive.read(key) != content:
            advice = "What was read is not what was written: do not use this store."
            yield Finding("fail", "archive", "it changes what it is given", advice)
        else:
            yield Finding("ok", "archive", "an object can be written and read")
        try:
            archive.put_new(key, content + b" twice")
        except ConflictError:
            yield Finding("ok", "archive", "an object is created once and never replaced")
        else:
            advice = "It must honour If-None-Match: use a store (or version) that does."
            yield Finding("fail", "archive", "it replaces an object that is there", advice)
    finally:
        archive.delete(key)
