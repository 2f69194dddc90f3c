"""Owns the erasure of a data subject: its key destroyed, and the log told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from triton.erasure.keyring import Keyring
from triton.errors import NotFoundError
from triton.events.types import SubjectErased

#: Appends the event under an operation's name and answers its position; the same name again appends nothing.
Note = Callable[[SubjectErased, str], Awaitable[int]]


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. The log and every answer name the subject by its key's id."""

    key: str
    tenant: str
    #: Microseconds since 1970.
    erased_at: int
    #: Whether this call destroyed it, and no earlier one.
    now: bool
    #: Of the event `subject.erased`, in partition 0.
    position: int


async def erase(
    keyring: Keyring,
    note: Note,
    *,
    tenant: str,
    subject: str,
    reason: str,
    unknown: bool = False,
) -> Erasure:
    """Destroy the key first, then write the event: who is stopped in between repeats the call.

    Nothing is rewritten: log, heads, archive and both stores hold envelopes, which do not open from now on.
    Raises NotFoundError for a subject that has no key, unless `unknown` (then it never gets one);
    UnavailableError.
    """
    if not unknown and not keyring.knows(tenant, subject):
        raise NotFoundError(
            f"nothing was ever sealed for the subject {subject!r} of tenant {tenant!r}: look for a slip in "
            "its name; with --unknown it is made sure that nothing ever is",
            subject=subject,
            tenant=tenant,
        )
    done = keyring.destroy(tenant, subject)
    event = SubjectErased(subject=done.key, tenant=tenant, reason=reason)
    position = await note(event, f"erase-{done.key}")
    return Erasure(key=done.key, tenant=tenant, erased_at=done.at, now=done.now, position=position)
