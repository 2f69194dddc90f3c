"""Owns what both kinds of client settle once: where the API is, and what every request carries."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

import triton
from triton.client.problems import local
from triton.errors import ValidationError


class Settled(msgspec.Struct, frozen=True):
    """The URL as it is named in errors, and httpx's arguments."""

    url: str
    options: dict[str, Any]


def settled(
    url: str, api_key: str | None, headers: Mapping[str, str] | None, timeout: float
) -> Settled:
    """Raises ValidationError for a URL that is none."""
    url = url.rstrip("/")
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValidationError(f"{url!r} is no URL of an API: {error}.") from error
    if found.scheme not in ("http", "https") or not found.host:
        raise ValidationError(
            f"{url!r} is no URL of an API: it begins with http:// or https:// and names a host."
        )
    given = {"User-Agent": f"triton-python/{triton.__version__}", **(headers or {})}
    if api_key:
        given["Authorization"] = f"Bearer {api_key}"
    options = {
        "base_url": url,
        "headers": given,
        "timeout": httpx.Timeout(timeout, connect=5.0),
        # A stream holds its connection; how many there are is the caller's choice.
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20),
        "trust_env": not local(url),
        # Reading the certificates of all authorities takes longer than everything else here. Without TLS
        # none is needed, and a context that knows none trusts nobody.
        "verify": True if found.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    }
    return Settled(url, options)
