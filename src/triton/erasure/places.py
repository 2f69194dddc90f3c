"""Owns places in a call: parameters as paths into its arguments, values found and put there. Pure.

A place is written like a JSON pointer without its first slash: `kwargs/user/email`, `args/0`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from triton.signature import Signature

Path: TypeAlias = tuple[str, ...]
_MISSING = object()


def path_of(name: str, args: Sequence[Any], signature: Signature | None) -> Path:
    """Where the parameter `name` (or `name.key.key`) is in a call with so many positional arguments."""
    first, *rest = name.split(".")
    if signature is not None and first in signature.positional:
        place = signature.positional.index(first)
        if place < len(args):
            return ("args", str(place), *rest)
    return ("kwargs", first, *rest)


def get(call: Mapping[str, Any], path: Path, default: Any = None) -> Any:
    """The value at a place of `{"args": ..., "kwargs": ...}`, or the default."""
    value: Any = call
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step, _MISSING)
        elif isinstance(value, list | tuple):
            index = _index(step)
            value = value[index] if index is not None and index < len(value) else _MISSING
        else:
            value = _MISSING
        if value is _MISSING:
            return default
    return value


def replaced(value: Any, changes: Mapping[Path, Any]) -> Any:
    """A copy with other values at some places; what lies beside them is shared with the original."""
    if not changes:
        return value
    if () in changes:
        return changes[()]
    below: dict[str, dict[Path, Any]] = {}
    for path, new in changes.items():
        below.setdefault(path[0], {})[path[1:]] = new
    if isinstance(value, Mapping):
        return {
            name: replaced(each, below[name]) if name in below else each
            for name, each in value.items()
        }
    made = [replaced(each, below.get(str(index), {})) for index, each in enumerate(value)]
    return tuple(made) if isinstance(value, tuple) else made


def find(value: Any, wanted: Callable[[Any], bool], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is wanted, with its place; nothing is looked for within one."""
    if wanted(value):
        yield path, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from find(each, wanted, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from find(each, wanted, (*path, str(index)))


def written(path: Path) -> str:
    return "/".join(step.replace("~", "~0").replace("/", "~1") for step in path)


def read(text: str) -> Path:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text.split("/"))


def _index(step: str) -> int | None:
    return int(step) if step.isascii() and step.isdecimal() else None
