"""Owns what a check says: one line per finding, with what to do where something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from triton.cli.exits import LOOK, ending_of
from triton.settings import Settings

Level: TypeAlias = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """`about` is the engine or part; `advice` says what to do, where the level is not `ok`."""

    level: Level
    about: str
    what: str
    advice: str = ""


Check: TypeAlias = Callable[[Settings], Iterable[Finding]]


def findings(about: str, check: Check, settings: Settings, advice: str) -> Iterator[Finding]:
    """What the check finds; where it breaks off, why, with `advice`."""
    try:
        yield from check(settings)
    except Exception as error:
        # Whatever a driver raises, the finding is that its engine could not be looked at.
        ending = ending_of(error)
        said = ending.sentence.removesuffix(LOOK) if ending else str(error)
        yield Finding("fail", about, said, advice)
