"""Owns which past jobs are run again: the words of `--jobs`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from triton.errors import ValidationError

_NAMES: Final = ("status", "queue", "tenant", "actor", "since", "until", "job")
#: States whose outcome a handler made.
ENDED: Final = ("completed", "failed")


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Past jobs; empty does not choose. Times in microseconds since 1970, `until` is not included."""

    status: frozenset[str] = frozenset(ENDED)
    queue: frozenset[str] = frozenset()
    tenant: frozenset[str] = frozenset()
    actor: frozenset[str] = frozenset()
    job: frozenset[str] = frozenset()
    since: int = 0
    until: int = 2**62

    def takes(self, *, job: str, queue: str, tenant: str, actor: str, at: int) -> bool:
        """Whether a job is chosen that was submitted at `at`, whatever became of it."""
        return (
            self.since <= at < self.until
            and (not self.job or job in self.job)
            and (not self.queue or queue in self.queue)
            and (not self.tenant or tenant in self.tenant)
            and (not self.actor or actor in self.actor)
        )


def choice_of(text: str, moment: Callable[[str, str], int]) -> Choice:
    """Of `status=failed,queue=mail|orders,since=2d`; a word alone is a job's id.

    `moment(name, text)` reads a time. Raises ValidationError for a name or a state that is not known.
    """
    found: dict[str, frozenset[str] | int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = "job", part
        if name not in _NAMES:
            raise ValidationError(
                f"--jobs has {name!r}, expected {', '.join(_NAMES)} as in status=failed,since=2d"
            )
        if name in ("since", "until"):
            found[name] = moment(f"--jobs {name}", value)
            continue
        values = frozenset(filter(None, value.split("|")))
        before = found.get(name)
        found[name] = values | before if isinstance(before, frozenset) else values
    choice = msgspec.convert(found, Choice)
    if unknown := choice.status.difference(ENDED):
        raise ValidationError(
            f"--jobs status is {', '.join(sorted(unknown))}, expected {' or '.join(ENDED)}: others have no "
            "outcome that a handler made"
        )
    return choice
