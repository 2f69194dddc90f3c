"""Owns what an actor can be called with, as plain values, and what of a call is surely wrong. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec

from triton.errors import ValidationError

_Parameter = inspect.Parameter
#: Where Dramatiq wraps a coroutine function; its wrapper takes anything.
_ASYNC_WRAPPER: Final = "dramatiq.asyncio"


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The parameters that matter for whether a call fits. Defaults, types and values do not."""

    #: In order; those that must be given have no default.
    positional: tuple[str, ...] = ()
    #: How many of the positional ones can not be given by name: they come first.
    by_place_only: int = 0
    #: How many of the positional ones must be given: they come first.
    required: int = 0
    #: Those that can be given by name only, and which of them must be.
    named: tuple[str, ...] = ()
    named_required: tuple[str, ...] = ()
    #: Whether any number of further ones is taken, by place and by name.
    more_positional: bool = False
    more_named: bool = False


def signature_of(fn: Callable[..., Any]) -> Signature | None:
    """The signature of an actor's function; None where none can be told.

    A decorator's wrapper is taken as what it is, not as what it wraps: it may add arguments of its own.
    """
    if getattr(fn, "__globals__", {}).get("__name__") == _ASYNC_WRAPPER:
        fn = getattr(fn, "__wrapped__", fn)
    try:
        parameters = inspect.signature(fn, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return None
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    kinds = {p.kind for p in parameters}
    return Signature(
        positional=tuple(p.name for p in placed),
        by_place_only=sum(p.kind is p.POSITIONAL_ONLY for p in placed),
        required=sum(p.default is p.empty for p in placed),
        named=tuple(p.name for p in named),
        named_required=tuple(p.name for p in named if p.default is p.empty),
        more_positional=_Parameter.VAR_POSITIONAL in kinds,
        more_named=_Parameter.VAR_KEYWORD in kinds,
    )


def check_call(
    signature: Signature, actor: str, args: Sequence[Any], kwargs: Collection[str]
) -> None:
    """Raises ValidationError naming each argument that is missing, unknown, given twice or too many."""
    places = signature.positional
    few = len(args) <= len(places) or signature.more_positional
    if few and len(args) >= signature.required and not (kwargs or signature.named_required):
        return
    given = set(kwargs)
    by_name = set(places[signature.by_place_only :])
    fields = []
    if len(args) > len(places) and not signature.more_positional:
        fields.append(_field("args", f"has {len(args)} values, at most {len(places)} are taken"))
    twice = by_name.intersection(places[: len(args)]) & given
    fields += [_field(f"kwargs.{name}", "is in args already") for name in places if name in twice]
    fields += [
        _field(f"kwargs.{name}", "is required")
        for name in places[len(args) : signature.required]
        if name not in given or name not in by_name
    ]
    fields += [
        _field(f"kwargs.{name}", "is required")
        for name in signature.named_required
        if name not in given
    ]
    if not signature.more_named:
        known = by_name.union(signature.named)
        expected = ", ".join([*places[signature.by_place_only :], *signature.named]) or "none"
        fields += [
            _field(f"kwargs.{name}", f"is not known; known are {expected}")
            for name in sorted(given - known)
        ]
    if fields:
        said = "; ".join(f"{field['field']} {field['message']}" for field in fields)
        raise ValidationError(f"the arguments do not fit the actor {actor}: {said}", fields=fields)


def encode(signature: Signature | None) -> bytes:
    """As it is published; empty for one that is not known."""
    return msgspec.json.encode(signature) if signature is not None else b""


def decode(raw: bytes | None) -> Signature | None:
    """The published signature; None for none, and for one that a newer Triton wrote otherwise."""
    try:
        return msgspec.json.decode(raw, type=Signature) if raw else None
    except msgspec.MsgspecError:
        return None


def _field(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}
