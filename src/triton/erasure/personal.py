"""Owns `triton.Personal`: a value that its sender marks, whatever the actor declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

if TYPE_CHECKING:
    from triton.erasure.envelopes import Key


class Personal:
    """`actor.send(triton.Personal(email, subject=user))`: sealed on its way, plain in the actor.

    It may stand anywhere in the arguments, also within lists and dicts. Only a TritonBroker seals it; any
    other way to encode it raises TypeError, so that it never goes out as it is.
    """

    #: Whether this process ever made one: until then nobody looks for them.
    any_made: ClassVar[bool] = False
    __slots__ = ("key", "subject", "value")

    def __init__(self, value: Any, *, subject: str | int) -> None:
        Personal.any_made = True
        self.value = value
        self.subject = str(subject)
        #: Where the key is known already.
        self.key: Key | None = None

    def __repr__(self) -> str:
        return "[personal]"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a triton.Personal value is sealed by a TritonBroker, and goes no other way"
        )


def under(key: Key, value: Any) -> Personal:
    """A personal value of the subject whose key this is."""
    made = Personal(value, subject="")
    made.key = key
    return made


def may_be_sealed(value: object) -> bool:
    """Whether a result or a text may hold envelopes: they stand at its top, or in the values of a dict."""
    if isinstance(value, str):
        return value.startswith("triton.personal:")
    if not isinstance(value, dict):
        return False
    return "triton.personal" in value or any(
        isinstance(each, dict) and "triton.personal" in each for each in value.values()
    )
