"""Owns how an exception is told in the log: its type, where it was raised, what caused it. Pure.

What an exception says may quote anything: a job's arguments, a row. So its words are told only where that was
asked for; the history of a job has them in any case, for those who may read it.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any, Final

#: Frames that are told of one exception, the innermost ones, and exceptions of one chain or group.
FRAMES: Final = 30
CHAIN: Final = 5
_MESSAGE: Final = 2_000


def told(error: BaseException, *, words: bool, left: int = CHAIN) -> dict[str, Any]:
    """The exception as plain data, the innermost frame last; with its own words where `words`."""
    found: dict[str, Any] = {"type": _name(type(error))}
    if words:
        found["message"] = _said(error)
    found["frames"] = frames_of(error.__traceback__)
    if left > 0:
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is not None:
            found["cause"] = told(cause, words=words, left=left - 1)
        if isinstance(error, BaseExceptionGroup):
            inner = error.exceptions[:left]
            found["group"] = [told(one, words=words, left=left - 1) for one in inner]
    return found


def frames_of(trace: TracebackType | None) -> list[dict[str, Any]]:
    """Where it was raised, without values of variables."""
    frames = traceback.extract_tb(trace)[-FRAMES:]
    return [{"file": one.filename, "line": one.lineno, "function": one.name} for one in frames]


def as_text(exception: dict[str, Any]) -> str:
    """The same for a terminal."""
    lines = []
    if cause := exception.get("cause"):
        lines += [as_text(cause), "caused:"]
    lines += [
        f'  File "{one["file"]}", line {one["line"]}, in {one["function"]}'
        for one in exception["frames"]
    ]
    said = exception.get("message")
    lines.append(f"{exception['type']}: {said}" if said else exception["type"])
    for one in exception.get("group", ()):
        lines += [f"  | {line}" for line in as_text(one).splitlines()]
    return "\n".join(lines)


def _name(kind: type[BaseException]) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _said(error: BaseException) -> str:
    try:
        return str(error)[:_MESSAGE]
    except Exception:
        return "(the exception's str() failed)"
