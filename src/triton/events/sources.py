"""Owns the text of the Lua scripts: a file of `lua`, its prelude and includes, and the hash that names it."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

NAMES: Final = (
    "adopt",
    "open",
    "submit",
    "claim",
    "heartbeat",
    "report",
    "finish",
    "release",
    "cancel",
    "requeue",
    "hold",
    "note",
    "trim",
    "reserve",
    "restored",
)
#: Scripts that change only what the prelude relies on, and run without it.
_BARE: Final = frozenset(("adopt", "open", "reserve", "restored"))


class Script(NamedTuple):
    name: str
    source: str
    sha: str


@cache
def compose(name: str, clock: str | None = None) -> Script:
    """The text of a script: `#!lua` with its flags, the prelude, then the file with its includes in place.

    `clock` replaces the body of the prelude's clock function: tests set the server's time with it.
    """
    source = _file(name)
    if name not in _BARE:
        prelude = _file("prelude")
        if clock is not None:
            prelude = re.sub(
                r"(local function clock\(\)\n).*?(\nend)",
                rf"\g<1>{clock}\g<2>",
                prelude,
                flags=re.S,
            )
        source = prelude + source
    source = _with_includes(source)
    flags = re.search(r"^--@flags (.+)$", source, flags=re.M)
    source = f"#!lua flags={flags[1]}\n{source}" if flags else f"#!lua\n{source}"
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _with_includes(text: str) -> str:
    return re.sub(
        r"^ *--@include (\w+)$", lambda found: _with_includes(_file(found[1])), text, flags=re.M
    )


@cache
def _file(name: str) -> str:
    return resources.files("triton.events").joinpath(f"lua/{name}.lua").read_text()
