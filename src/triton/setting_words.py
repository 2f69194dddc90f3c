"""Owns what a setting is told to expect, in words: from its type and its bounds. Pure."""

from __future__ import annotations

import msgspec


def expected_by(settings: type[msgspec.Struct], name: str) -> str:
    """Such as `a whole number from 1 to 256`. A pattern's words are the description beside it."""
    info = msgspec.inspect.type_info(settings)
    assert isinstance(info, msgspec.inspect.StructType)
    kinds = {field.name: field.type for field in info.fields}
    return _words(kinds[name]) if name in kinds else "no setting of this name"


def _words(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.Metadata(type=inner, extra_json_schema=said):
            return str(said["description"]) if said and "description" in said else _words(inner)
        case msgspec.inspect.IntType(ge=None, le=None):
            return "a whole number"
        case msgspec.inspect.IntType(ge=least, le=None):
            return f"a whole number, at least {least}"
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.LiteralType(values=values):
            return "one of " + ", ".join(map(str, values))
        case _:
            return "a text"
