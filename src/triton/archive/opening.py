"""Owns the choice of a store by URL."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from triton.archive.store import ArchiveStore
from triton.errors import ConfigurationError

_EXPECTED = (
    "expected file:///folder or s3://bucket/prefix (optionally ?endpoint_url=...&region=..."
    "&lock_days=...&lock_mode=...); "
    "set TRITON_ARCHIVE_URL"
)
_S3_OPTIONS = {"endpoint_url", "region", "lock_days", "lock_mode"}
_LOCKS = {"lock_days", "lock_mode"}
_DAYS = re.compile("[1-9][0-9]{0,4}")


def open_archive(url: str) -> ArchiveStore:
    """The store behind `file:///folder` or `s3://bucket/prefix`. Raises ConfigurationError.

    A folder is created when it is missing. S3 takes credentials, region and endpoint from the standard
    AWS variables and files; the query may set `endpoint_url` and `region` instead. `lock_days`, with
    `lock_mode` (governance or compliance), puts S3 Object Lock on the evidence.
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or query:
            raise ConfigurationError(
                f"the archive URL is {url!r}: {_EXPECTED}", setting="archive_url"
            )
        from triton.archive.file import FileArchive

        return FileArchive(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        if not parts.netloc or set(query) - _S3_OPTIONS:
            raise ConfigurationError(
                f"the archive URL is {url!r}: {_EXPECTED}", setting="archive_url"
            )
        from triton.archive.s3 import Lock, S3Archive, connect

        mode, days = query.get("lock_mode", "governance").upper(), query.get("lock_days", "")
        lock = Lock(int(days), mode) if _DAYS.fullmatch(days) else None
        if (lock is None and set(query) & _LOCKS) or mode not in ("GOVERNANCE", "COMPLIANCE"):
            raise ConfigurationError(
                f"the archive URL is {url!r}: expected lock_days=NUMBER, and lock_mode=governance or "
                "compliance or none; set TRITON_ARCHIVE_URL",
                setting="archive_url",
            )
        client = connect(query.get("endpoint_url"), query.get("region"))
        return S3Archive(client, parts.netloc, unquote(parts.path).strip("/"), lock=lock)
    raise ConfigurationError(f"the archive URL is {url!r}: {_EXPECTED}", setting="archive_url")
