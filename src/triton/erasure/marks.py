"""Owns what of an actor is personal, as it declares it: `@dramatiq.actor(personal={...})`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from triton.errors import ConfigurationError


class Marks(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What is sealed. Names are of parameters, however they are given; `user.email` is a key of a dict."""

    #: Whose data it is: the parameter whose value (text or a whole number) names the subject.
    subject: str
    fields: tuple[str, ...] = ()
    #: The whole result, or the keys of a result that is a dict.
    result: bool | tuple[str, ...] = False
    output: bool = False
    #: The stage that progress names; the percentage is never sealed.
    progress: bool = False
    #: Results of durable steps.
    steps: bool = False
    #: Messages and tracebacks of errors. They quote arguments more often than one thinks.
    errors: bool = True


def marks_of(option: object, actor: str) -> Marks | None:
    """Of the actor's option; None for none. Raises ConfigurationError."""
    if option is None:
        return None
    try:
        return msgspec.convert(option, Marks, from_attributes=True)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"`personal` of the actor {actor} is {option!r}: {error}; expected a dict of subject, fields, "
            "result, output, progress, steps and errors",
            actor=actor,
        ) from None


def declared_marks(options: Mapping[str, Any] | None, actor: str) -> Marks | None:
    """The same of all options that an actor declared."""
    return None if options is None else marks_of(options.get("personal"), actor)
