"""Owns what makes two submissions the same: unique keys, payload digests, ids that fit them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec

from triton.errors import ValidationError
from triton.keys import partition_of

#: What becomes of a submission whose unique key is held. `return`: the job that holds it is the answer.
#: `replace`: that job is cancelled unless it runs or has ended, and this one is accepted. `reject`: an
#: error that names it.
Conflict: TypeAlias = Literal["return", "replace", "reject"]

#: Characters of a key at most.
MAX_KEY: Final = 255
_YEAR_MS: Final = 366 * 86_400_000
#: Ids tried until one lies in the wanted partition; for 256 partitions one in 10^17 finds none.
_TRIES: Final = 10_000


class Unique(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a job is unique: among the jobs of its tenant and actor, by its arguments or by a key."""

    #: Without one, the arguments are the key.
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)] | None = None
    #: Milliseconds from submit for which the key is held, also after the job completed; 0: until it ends.
    window: Annotated[int, msgspec.Meta(ge=0, le=_YEAR_MS)] = 0
    conflict: Conflict = "return"


def unique_of(option: object) -> Unique | None:
    """The Unique of an option: True, a key, or a dict of `key`, `window` (ms) and `conflict`.

    Raises ValidationError for anything else.
    """
    if option is None or option is False:
        return None
    if option is True:
        return Unique()
    if isinstance(option, str):
        option = {"key": option}
    unknown = set(option) - set(Unique.__struct_fields__) if isinstance(option, Mapping) else set()
    if unknown:
        raise _invalid(f"has {', '.join(sorted(map(str, unknown)))}")
    try:
        return msgspec.convert(option, Unique, from_attributes=True)
    except msgspec.ValidationError as error:
        raise _invalid(f"is {option!r}: {error}") from None


def unique_digest(
    unique: Unique, tenant: str, actor: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str:
    """The name of the unique key: 32 hex digits. Raises ValidationError for arguments without JSON."""
    if unique.key is not None:
        return _digest("key", tenant, actor, unique.key)
    return _digest("arguments", tenant, actor, payload_digest(actor, args, kwargs))


def payload_digest(actor: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """What a call is, in 32 hex digits; the order of keyword arguments makes no difference.

    Raises ValidationError for arguments that have no JSON.
    """
    try:
        call = msgspec.json.encode([actor, args, kwargs], order="deterministic")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValidationError(
            f"the arguments of {actor} have no JSON to compare them by ({error}): give `unique` a key, and "
            "leave the idempotency key to the message's id",
            fields=[{"field": "args", "message": "expected values that JSON has"}],
        ) from None
    return hashlib.sha256(call).hexdigest()[:32]


def fitting_id(make: Callable[[int], str], digest: str, partitions: int) -> str:
    """The first of make(0), make(1), ... that lies in the partition of a unique key."""
    wanted = partition_of(digest, partitions)
    for number in range(_TRIES):
        made = make(number)
        if partition_of(made, partitions) == wanted:
            return made
    raise AssertionError(f"none of {_TRIES} ids lies in partition {wanted} of {partitions}")


def _digest(*parts: str) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def _invalid(found: str) -> ValidationError:
    expected = (
        "True, a key of 1 to 255 characters, or a dict of key, window (milliseconds, up to a year) and "
        f"conflict ({' | '.join(get_args(Conflict))})"
    )
    return ValidationError(
        f"unique {found}; expected {expected}",
        fields=[{"field": "unique", "message": f"expected {expected}"}],
    )
