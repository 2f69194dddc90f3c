"""Owns when a failed attempt is tried again: policies, their presets, and errors that end a job. Pure.

Dramatiq's own options (`max_retries`, `min_backoff`, `max_backoff`, `throws`, `retry_when`) work as ever.
A policy is what `retry=` names instead, on an actor or with one submit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec

from triton.errors import invalid

_DAY_MS: Final = 86_400_000
_Wait = Annotated[int, msgspec.Meta(ge=0, le=7 * _DAY_MS)]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a failed job is tried again, and after which waits, in milliseconds.

    The n-th wait (from 0) is min_backoff * factor**n, at most max_backoff, and longer by a random part of
    up to `jitter` of it, so that jobs that failed together do not come back together.
    """

    #: Retries at most; the first run is none.
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    min_backoff: _Wait = 2_000
    max_backoff: _Wait = _DAY_MS
    factor: Annotated[float, msgspec.Meta(ge=1, le=100)] = 2.0
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1

    def wait_ms(self, retries: int, chance: float) -> int:
        """The wait after the attempt that followed `retries` earlier ones; chance is 0 to 1."""
        # An exponent above 64 is above any max_backoff with every factor that grows at all.
        wait = min(self.min_backoff * self.factor ** min(retries, 64), self.max_backoff)
        return int(wait * (1 + self.jitter * chance))


#: Three retries, after 2, 4 and 8 seconds.
STANDARD: Final = RetryPolicy(max_retries=3, min_backoff=2_000, max_backoff=8_000)
#: The first failure ends the job.
NONE: Final = RetryPolicy(max_retries=0)
#: The policies that have a name.
PRESETS: Final[Mapping[str, RetryPolicy]] = {"standard": STANDARD, "none": NONE}

_OVERRIDES: Final = ("max_retries", "min_backoff", "max_backoff")


def policy_from(value: object) -> RetryPolicy:
    """A policy from a preset's name, a RetryPolicy, or its fields. Raises ValidationError."""
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, str):
        if value not in PRESETS:
            raise invalid(
                "retry", repr(value), f"one of {', '.join(PRESETS)}, or a policy's fields"
            )
        return PRESETS[value]
    try:
        return msgspec.convert(value, RetryPolicy)
    except msgspec.ValidationError as error:
        raise invalid("retry", str(error), "a preset's name or a RetryPolicy's fields") from None


def policy_for(options: Mapping[str, Any], actor: Mapping[str, Any]) -> RetryPolicy | None:
    """The policy of a job, from its message's options and its actor's; None leaves it to Dramatiq.

    What is nearer wins: an option of the submit, then the submit's `retry`, then the actor's own options,
    then the actor's `retry`.
    """
    if options.get("retry") is not None:
        policy, given = policy_from(options["retry"]), options
    elif actor.get("retry") is not None:
        policy, given = policy_from(actor["retry"]), {**actor, **options}
    else:
        return None
    changes = {name: given[name] for name in _OVERRIDES if isinstance(given.get(name), int)}
    return msgspec.structs.replace(policy, **changes) if changes else policy


def is_named(error: BaseException, names: object) -> bool:
    """Whether the class of an error, or one above it, is among names: `KeyError` or `app.errors.Bad`."""
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, Iterable):
        return False
    known = set(names)
    return any(not known.isdisjoint(_names(cls)) for cls in type(error).__mro__)


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a message's options about retries that must be written otherwise to be plain data.

    Raises ValidationError naming the option that is wrong.
    """
    plain: dict[str, Any] = {}
    if options.get("retry") is not None:
        policy = policy_from(options["retry"])
        if not isinstance(options["retry"], str):
            plain["retry"] = msgspec.to_builtins(policy)
    if options.get("no_retry") is not None:
        plain["no_retry"] = _class_names(options["no_retry"])
    throws = options.get("throws")
    if throws is not None and not _is_class(throws):
        # Dramatiq's worker asks isinstance(error, throws): anything but classes there ends its thread.
        raise invalid("throws", repr(throws), "no names here: give names as no_retry=[...]")
    return plain


def _is_class(value: object) -> bool:
    return isinstance(value, type) or (isinstance(value, tuple) and all(map(_is_class, value)))


def _class_names(value: object) -> list[str]:
    given = value if isinstance(value, list | tuple | set) else [value]
    found = []
    for each in given:
        if isinstance(each, type) and issubclass(each, BaseException):
            found.append(f"{each.__module__}.{each.__qualname__}")
        elif isinstance(each, str) and each:
            found.append(each)
        else:
            raise invalid("no_retry", repr(each), "exception classes or their names")
    return found


def _names(cls: type) -> tuple[str, str]:
    return cls.__name__, f"{cls.__module__}.{cls.__qualname__}"
