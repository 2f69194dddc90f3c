"""Owns how a command ends: the exit status of every error, and its one sentence on stderr.

0    done, and the answer is yes
1    done, and the answer is no: the job failed, the stores differ, there is no such job
2    the command line or a setting is wrong
3    an engine or the API does not answer
70   a bug in Triton
130  ctrl-C
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from triton import settings
from triton.errors import (
    ConfigurationError,
    StartupError,
    TritonError,
    UnauthenticatedError,
    UnavailableError,
    ValidationError,
)

NO: Final = 1
USAGE: Final = 2
AWAY: Final = 3
BUG: Final = 70
INTERRUPTED: Final = 130

#: How a sentence about an engine ends, but for those of the doctor.
LOOK: Final = "; `triton doctor` looks at every engine."
#: How a sentence ends about who was not let in. `keys create` asks the API, too: it needs a key that counts.
_KEY: Final = (
    "; TRITON_API_KEY or TRITON_API_KEY_FILE gives a key. Where none is left that counts: `triton keys "
    "recover` makes one, and `triton up` when it starts."
)
#: Packages of drivers, and what they drive: what they raise by themselves means that it did not answer.
_DRIVERS: Final = {
    "redis": "Redis",
    "psycopg": "PostgreSQL",
    "psycopg_pool": "PostgreSQL",
    "clickhouse_connect": "ClickHouse",
    "httpx": "the API",
}


class Ending(NamedTuple):
    status: int
    sentence: str


class Commands(TyperGroup):
    """The group of all commands: turns what they raise into an exit status and one sentence."""

    def invoke(self, ctx: Any) -> Any:
        # Drivers warn of what they raise, too: without a handler, on standard error beside our sentence.
        for package in () if settings.debugging() else _DRIVERS:
            logging.getLogger(package).addHandler(logging.NullHandler())
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            ending = None if settings.debugging() else ending_of(error)
            if ending is None:
                raise
            print(f"error: {ending.sentence}", file=sys.stderr)
            raise typer.Exit(ending.status) from None


def ending_of(error: Exception) -> Ending | None:
    """How a command ends that raised this; None where the command line's own library knows better."""
    package = type(error).__module__.partition(".")[0]
    if package == "typer" or isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, TritonError):
        asked = _KEY if isinstance(error, UnauthenticatedError) else ""
        return Ending(_status_of(error), one_sentence(error.message) + asked)
    if package == "psycopg" and type(error).__name__ == "ProgrammingError":
        # Of no server: libpq does not know an option of the URL.
        return Ending(USAGE, f"PostgreSQL's URL cannot be used: {one_sentence(str(error))}.")
    if package in _DRIVERS:
        said = (one_sentence(str(error)) or type(error).__name__).rstrip(".")
        return Ending(AWAY, f"{_DRIVERS[package]}: {said}{LOOK}")
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return Ending(NO, f"{where}{error.strerror}.")
    what = one_sentence(f"{type(error).__name__}: {error}")
    return Ending(BUG, f"{what} (a bug; TRITON_DEBUG=1 shows where)")


def one_sentence(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split())


def _status_of(error: TritonError) -> int:
    if isinstance(error, UnavailableError):
        return AWAY
    if isinstance(
        error, ConfigurationError | ValidationError | StartupError | UnauthenticatedError
    ):
        return USAGE
    return NO
