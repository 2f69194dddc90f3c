"""Owns one delivery: a signed POST to an address that was judged, without redirects, proxies or patience."""

from __future__ import annotations

import ssl
import time
from functools import cache
from typing import Final, NamedTuple

import httpx

from triton.webhooks import signing
from triton.webhooks.destination import Destination

#: Seconds to connect, and between two bytes.
TIMEOUT: Final = httpx.Timeout(10.0)
#: Characters of a reason.
_CUT: Final = 500


class Sent(NamedTuple):
    """What came of it: the target's status, or why there is none."""

    status: int | None
    error: str
    duration_ms: int

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are believed. To read them takes 20 ms: each client of its own would do it again."""
    return httpx.create_ssl_context(trust_env=False)


def send(destination: Destination, secret: bytes, message: str, body: bytes, *, now: float) -> Sent:
    """Never raises for what the network or the target does."""
    headers = {
        **signing.headers(secret, message, int(now), body),
        "host": destination.host,
        "content-type": "application/json",
        "user-agent": "Triton-Webhooks",
        "accept-encoding": "identity",
    }
    begun = time.monotonic()
    status, error = None, ""
    try:
        with (
            httpx.Client(
                timeout=TIMEOUT, trust_env=False, follow_redirects=False, verify=_trusted()
            ) as client,
            client.stream(
                "POST",
                destination.url,
                content=body,
                headers=headers,
                extensions={"sni_hostname": destination.name},
            ) as answer,
        ):
            # What it says besides is not read: it may be endless.
            status = answer.status_code
            if not answer.is_success:
                error = f"it answered {status}"
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        error = f"{type(failure).__name__}: {failure}"[:_CUT]
    return Sent(status, error.replace("\0", ""), round((time.monotonic() - begun) * 1000))
