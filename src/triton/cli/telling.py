"""Owns the log of commands that take long, where TRITON_LOG_FORMAT=json asks for one: JSON lines on stderr.

The result stays on stdout. Without that setting a command talks to people, as all others do.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar

import typer

#: Seconds between two lines that say that it goes on.
EVERY: Final = 10.0
P = ParamSpec("P")
T = TypeVar("T")


class Telling:
    """What the command that runs here has to tell."""

    def __init__(self) -> None:
        self.on = False
        self._reached: dict[str, Any] = {}

    def reached(self, **values: Any) -> None:
        """How far it is, for the next line."""
        self._reached = values

    def say(self, level: str, event: str, **values: Any) -> None:
        import structlog

        getattr(structlog.get_logger("triton.command"), level)(event, **values)

    @contextmanager
    def during(self, command: str) -> Iterator[None]:
        """Around the command. An error is told here, and ends it with its exit status."""
        from triton import settings
        from triton.cli.exits import ending_of
        from triton.observe.logs import configure

        chosen = settings.load()
        if self.on or chosen.log_format != "json":
            yield
            return
        configure("command", chosen)
        self.on, self._reached = True, {}
        begun, over = time.monotonic(), threading.Event()

        def took() -> dict[str, Any]:
            return {"command": command, "seconds": round(time.monotonic() - begun, 3)}

        def goes_on() -> None:
            while not over.wait(EVERY):
                self.say("info", "command_goes_on", **took(), **self._reached)

        self.say("info", "command_began", command=command)
        threading.Thread(target=goes_on, daemon=True).start()
        try:
            yield
            self.say("info", "command_ended", **took(), **self._reached, status=0)
        except typer.Exit as end:
            self.say("warning", "command_ended", **took(), **self._reached, status=end.exit_code)
            raise
        except Exception as error:
            ending = None if chosen.debug else ending_of(error)
            if ending is None:
                raise
            known = {"status": ending.status, "error": ending.sentence}
            self.say("error", "command_failed", **took(), **self._reached, **known)
            raise typer.Exit(ending.status) from None
        finally:
            over.set()
            self.on = False


#: Of this process.
telling: Final = Telling()


def takes_long(command: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Marks a command whose run is told."""

    def marked(run: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(run)
        def told(*args: P.args, **kwargs: P.kwargs) -> T:
            with telling.during(command):
                return run(*args, **kwargs)

        return told

    return marked
