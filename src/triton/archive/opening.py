"""Owns the choice of a store by URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from triton.archive.store import ArchiveStore
from triton.errors import ConfigurationError

_EXPECTED = (
    "expected file:///folder or s3://bucket/prefix (optionally ?endpoint_url=...&region=...); "
    "set TRITON_ARCHIVE_URL"
)


def open_archive(url: str) -> ArchiveStore:
    """The store behind `file:///folder` or `s3://bucket/prefix`. Raises ConfigurationError.

    A folder is created when it is missing. S3 takes credentials, region and endpoint from the standard
    AWS variables and files; the query may set `endpoint_url` and `region` instead.
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or query:
            raise ConfigurationError(
                f"The archive URL is {url!r}: {_EXPECTED}.", setting="archive_url"
            )
        from triton.archive.file import FileArchive

        return FileArchive(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        if not parts.netloc or set(query) - {"endpoint_url", "region"}:
            raise ConfigurationError(
                f"The archive URL is {url!r}: {_EXPECTED}.", setting="archive_url"
            )
        from triton.archive.s3 import S3Archive, connect

        client = connect(query.get("endpoint_url"), query.get("region"))
        return S3Archive(client, parts.netloc, unquote(parts.path).strip("/"))
    raise ConfigurationError(f"The archive URL is {url!r}: {_EXPECTED}.", setting="archive_url")
