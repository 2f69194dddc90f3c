"""Owns that people say why: cancels, requeues and edits by hand carry a reason. Pure.

Workers and code need none: what they do has a cause of its own in the log.
"""

from __future__ import annotations

from typing import Final

from triton.errors import ValidationError

#: Characters at most.
MAX: Final = 2000


def given(reason: str, *, name: str = "reason") -> str:
    """The reason without blanks around it. Raises ValidationError where there is none, or too much.

    `name` is what the asker calls it: the field of a request's body, or an option such as `--reason`.
    """
    said = reason.strip()
    if not said:
        place = "" if name.startswith("-") else f' as {{"{name}": "..."}} in the JSON body'
        raise _invalid(
            name,
            f"is missing or empty: say why{place}, in your words; it is kept in the event, with who did it",
        )
    if len(said) > MAX:
        raise _invalid(name, f"has {len(said)} characters, at most {MAX} are kept")
    return said


def _invalid(name: str, message: str) -> ValidationError:
    return ValidationError(f"{name} {message}", fields=[{"field": name, "message": message}])
