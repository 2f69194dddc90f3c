"""Owns the signature of a webhook, as Standard Webhooks has it: HMAC-SHA256 over id, time and body. Pure.

Headers: `webhook-id`, `webhook-timestamp` (seconds since 1970), `webhook-signature` (`v1,BASE64`, several
with blanks between them).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

#: Seconds that a request's time may be off.
TOLERANCE: Final = 300
PREFIX: Final = "whsec_"
#: Random bytes of a secret.
BYTES: Final = 32
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,200}")


def text_of(secret: bytes) -> str:
    """The secret as people copy it."""
    return PREFIX + base64.b64encode(secret).decode()


def sign(secret: bytes, message: str, timestamp: int, body: bytes) -> str:
    signed = f"{message}.{timestamp}.".encode() + body
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(secret: bytes, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message, timestamp, body),
    }


def verified(secret: bytes, given: Mapping[str, str], body: bytes, *, now: float) -> str | None:
    """The message's id; None where the request is not signed with this secret, or not at this time."""
    message, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not _ID.fullmatch(message) or not re.fullmatch(r"[0-9]{1,12}", stamp):
        return None
    expected = sign(secret, message, int(stamp), body).encode()
    signatures = given.get("webhook-signature", "").encode("utf-8", "replace").split()
    # All are compared, so that the time says nothing of which one fits.
    fits = [hmac.compare_digest(expected, one) for one in signatures[:10]]
    return message if any(fits) and abs(now - int(stamp)) <= TOLERANCE else None
