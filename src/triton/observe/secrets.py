"""Owns what is taken out of every line of the log, wherever it came from: passwords, keys, tokens. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

#: What stands in a secret's place.
GONE: Final = "***"
_DEPTH: Final = 6

_SHAPES: Final = (
    # A URL's password: whatever is between `user:` and the last `@` before the path.
    (re.compile(r"(?<=://)([^\s/:@]*):[^\s/]+@"), rf"\1:{GONE}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {GONE}"),
    # Our API keys and stream tokens, and tokens of anybody's that are JWTs.
    (re.compile(r"\b(tr[ks]_)[A-Za-z0-9._-]{4,}"), rf"\1{GONE}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9._-]+"), GONE),
    (
        re.compile(
            r"(?i)\b((?:[a-z0-9]+[_-])*(?:token|password|passwd|secret|api[_-]?key|signature))"
            r"(\"?\s*[=:]\s*\"?)[^\s&\"',;)}]+"
        ),
        rf"\1\2{GONE}",
    ),
)
#: Says of most lines at once that there is nothing to take out.
_ANY: Final = re.compile(
    r"(?i)://|bearer|basic|tr[ks]_|eyj|token|passw|secret|api[_-]?key|signature"
)


def redacted(text: str) -> str:
    """The text with what looks like a secret taken out."""
    if _ANY.search(text) is None:
        return text
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


def cleaned(value: Any, depth: int = _DEPTH) -> Any:
    """The same for texts within lists and dicts; what lies too deep is left out."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        if depth == 0:
            return "..."
        return {name: cleaned(one, depth - 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(one, depth - 1) for one in value] if depth else "..."
    return value
