"""Owns which middleware has a hook of a name: most have few, and calling the empty ones too is a tenth of a
job's time.
"""

from __future__ import annotations

from typing import Any

from dramatiq import Middleware


class Hooked:
    """Of one broker. What is added to its list later, or taken out, is seen at the next call; a hook that is
    given to a middleware which is in the list already is not."""

    def __init__(self) -> None:
        #: The list as it was looked at, and what was found. Replaced together: threads look at both.
        self._seen: tuple[list[Middleware], dict[str, list[Middleware]]] = ([], {})

    def of(self, present: list[Middleware], hook: str) -> list[Middleware]:
        """Those whose hook is not the empty one of `dramatiq.Middleware`, in their order."""
        known, found = self._seen
        if known != present:
            known, found = self._seen = (list(present), {})
        if hook not in found:
            found[hook] = [each for each in known if not _is_empty(each, hook)]
        return found[hook]


def _is_empty(middleware: Middleware, hook: str) -> bool:
    own: Any = getattr(middleware, hook, None)
    empty: Any = getattr(Middleware, hook, None)
    return empty is not None and getattr(own, "__func__", None) is empty
