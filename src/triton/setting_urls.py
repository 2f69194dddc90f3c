"""Owns what the URLs among the settings look like, and how one is shown. Pure: nothing is connected.

Written without the drivers' parsers, which would have to be imported by every process that reads settings.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_POSTGRES_URL: Final = "postgresql://user:password@host:port/database"
REDIS: Final = "redis://host:port/db, rediss://..., unix:///path/to/socket?db=0, or redis+cluster://host:port,host:port"
_CLICKHOUSE: Final = "http(s)://user:password@host:port/database"
_ARCHIVE: Final = "file:///folder or s3://bucket/prefix"
_SUBJECT_KEYS: Final = f"file:///folder (the same for all) or {_POSTGRES_URL}"

#: As libpq reads it: several hosts with a port each, options by their names.
_POSTGRES: Final = re.compile(
    r"postgres(ql)?://"
    r"([^/@]*@)?"
    r"(?P<hosts>(\[[^\]/?]*\]|[^\[\]:/?,]*)(:\d*)?(,(\[[^\]/?]*\]|[^\[\]:/?,]*)(:\d*)?)*)"
    r"(/[^?]*)?"
    r"(\?([a-z_]+=[^=&]*(&[a-z_]+=[^=&]*)*)?)?"
)
_PORT: Final = re.compile(r"(?<!\[):(\d+)(?=,|\Z)")
_NO_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PASSWORD: Final = re.compile(r"(?<=://)([^:/?#@]*):.*@", re.DOTALL)


def expected_of(name: str, url: str) -> str | None:
    """What a setting expects where the URL that it holds is none of that kind; None where it may be one.

    An empty URL is none that is wrong.
    """
    rule = _RULES.get(name)
    if rule is None or not url:
        return None
    expected, fits = rule
    try:
        return None if fits(url) else expected
    except ValueError:
        # urlsplit's word for a port or an address that is none.
        return expected


def shown(url: str) -> str:
    """The URL without its password, also where it is malformed."""
    return _PASSWORD.sub(r"\1:***@", url)


def is_postgres(url: str) -> bool:
    """Whether libpq could read it, whatever options it knows."""
    found = _POSTGRES.fullmatch(url)
    if found is None or _NO_PERCENT.search(url):
        return False
    return all(int(port) < 65536 for port in _PORT.findall(found["hosts"]))


def _is_redis(url: str) -> bool:
    scheme, apart, rest = url.partition("://")
    if scheme == "unix":
        return rest.startswith("/")
    if scheme in ("redis+cluster", "rediss+cluster"):
        # Its nodes are read one by one when a client is made.
        return bool(rest)
    return scheme in ("redis", "rediss") and bool(apart) and urlsplit(url).port != -1


def is_http(url: str) -> bool:
    """Whether it is an http(s):// URL with a host."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0


def path_of(url: str) -> Path | None:
    """The path that a file:///path URL names; None for any other."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        return None
    return Path(unquote(parts.path))


def _is_file(url: str) -> bool:
    return path_of(url) is not None


def _is_archive(url: str) -> bool:
    parts = urlsplit(url)
    return (_is_file(url) and not parts.query) or (parts.scheme == "s3" and bool(parts.netloc))


def _signs(url: str) -> bool:
    return _is_file(url) or url.startswith("kms:")


def _keeps_keys(url: str) -> bool:
    return _is_file(url) or is_postgres(url)


_RULES: Final = {
    "redis_url": (REDIS, _is_redis),
    "database_url": (_POSTGRES_URL, is_postgres),
    "outbox_url": (_POSTGRES_URL, is_postgres),
    "clickhouse_url": (_CLICKHOUSE, is_http),
    "archive_url": (_ARCHIVE, _is_archive),
    "signing_key": ("file:///path of a PEM file, or kms:KEY", _signs),
    "subject_keys": (_SUBJECT_KEYS, _keeps_keys),
    "subject_master_key": ("file:///path of a file with 32 bytes", _is_file),
    "tenant_keys": ("file:///path of the ring", _is_file),
    "token_keys": ("file:///folder", _is_file),
    "api_url": ("http(s)://host:port", is_http),
}
