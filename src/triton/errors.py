"""Owns every error that Triton raises on purpose: one root, a stable code, a message for a person.

Expected outcomes are values (see `triton.events.replies`); what is raised here is a broken promise,
a wrong setting or bad input. Messages say what was found, what was expected, and what to do next.
"""

from __future__ import annotations

import re
from typing import Any, Final


class TritonError(Exception):
    """Something Triton noticed itself. `code` is stable; `details` are plain values for machines.

    `request_id` names the request that the API refused; empty for what was raised here.
    """

    code = "triton_error"
    request_id = ""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class ConfigurationError(TritonError):
    """A setting is missing, malformed or at odds with what the log was created with."""

    code = "configuration"


class UnavailableError(TritonError):
    """An engine (Redis, PostgreSQL, ClickHouse, the archive) did not answer."""

    code = "unavailable"


class StartupError(TritonError):
    """The embedded stack could not start: a port is taken, a folder is not writable, it runs already."""

    code = "startup"


class ValidationError(TritonError):
    """A request does not fit: `details` holds `{"fields": [{"field", "message"}, ...]}` where known."""

    code = "validation"


class NotFoundError(TritonError):
    """The thing that was asked for does not exist, or is not visible to who asked."""

    code = "not_found"


class UnauthenticatedError(TritonError):
    """Nobody knows who asks: no credentials, or none that hold."""

    code = "unauthenticated"


class TooManyLoginsError(TritonError):
    """So many passwords were wrong that none is looked at for `details["retry_after"]` seconds."""

    code = "too_many_logins"


class ForbiddenError(TritonError):
    """Who asks may not."""

    code = "forbidden"


class ConflictError(TritonError):
    """The request does not fit the present state of the thing it names."""

    code = "conflict"


class PreconditionRequiredError(TritonError):
    """A change must say which version it is made to: the header If-Match is missing."""

    code = "precondition_required"


class QuotaError(TritonError):
    """A tenant may not use more: `details` holds `quota`, `limit`, `used` and `retry_after` (seconds)."""

    code = "quota_exceeded"


class CursorGoneError(TritonError):
    """What follows a cursor cannot be told any more: `details["reason"]`; begin again."""

    code = "cursor_gone"


class TooManyStreamsError(TritonError):
    """Who asks has too many streams open: `details["of"]` says of what, `details["limit"]` how many."""

    code = "too_many_streams"


class NotUniqueError(ConflictError):
    """Another job holds the unique key: `details["job"]`."""

    code = "not_unique"


class QueueClosedError(ConflictError):
    """The queue drains: it takes no new jobs."""

    code = "queue_closed"


class IdempotencyError(TritonError):
    """The idempotency key was used before, for another call: by `details["job"]`."""

    code = "idempotency_mismatch"


class PreconditionFailedError(TritonError):
    """The thing is no longer as If-Match says: somebody changed it meanwhile."""

    code = "precondition_failed"


class MediaTypeError(TritonError):
    """The request's body is of a kind that is not taken here."""

    code = "unsupported_media_type"


class DecodeError(TritonError):
    """Stored bytes are not what their envelope says they are."""

    code = "decode"


class LogError(TritonError):
    """The log broke a promise. Readers stop; a person decides."""

    code = "log"


class HoleError(LogError):
    """A position is missing between two entries that are there, or was trimmed before it was read."""

    code = "log_hole"


class ExpiredError(HoleError):
    """What was asked for has expired, as an event of the log says: `details` holds `partition`, and `until`,
    the last position that expired."""

    code = "log_expired"


class ForeignEntryError(LogError):
    """The stream holds an entry that Triton's scripts did not write."""

    code = "log_foreign_entry"


class LogForkedError(LogError):
    """The entry at a checkpoint is not the one that was read there: history was replaced."""

    code = "log_forked"


class EvidenceError(TritonError):
    """Evidence (a tree head, a tile, a proof, a key) is malformed, or does not prove what it says."""

    code = "evidence"


class FencedError(TritonError):
    """Somebody else moved this checkpoint: this projector was replaced and must stop."""

    code = "fenced"


class ErasedError(TritonError):
    """The data subject was erased: its key is gone, and with it whatever was sealed for it."""

    code = "erased"


class StepError(TritonError):
    """A durable step cannot be recorded: its name is taken or none, or its result is no plain data."""

    code = "step"


def invalid(field: str, found: str, expected: str) -> ValidationError:
    """The refusal of one field, for what was found in it and what was expected there."""
    return ValidationError(
        f"{field} is {found}, expected {expected}",
        fields=[{"field": field, "message": f"expected {expected}"}],
    )


def log_refused(error: Exception) -> bool:
    """Whether Redis refused an event since its stream ends behind the log, as a stranger's entry makes it."""
    return "target stream top item" in str(error)


#: What the engines' drivers say where the server is there, and does not take who asks.
_REFUSED: Final = re.compile(
    "authentication|invalid username-password|no permissions|not permitted|permission denied|pg_hba"
    "|certificate|DB index is out of range|(database|role) \\S+ does not exist",
    re.IGNORECASE,
)


def no_answer(engine: str, error: Exception) -> str:
    """The message for an engine that cannot be reached, around what its driver said."""
    # libpq says the same once for each way that it tried.
    lines = (line.removeprefix("connection failed: ") for line in str(error).splitlines())
    said = " ".join(" ".join(dict.fromkeys(lines)).split()).rstrip(".") or type(error).__name__
    if "maxmemory" in said:
        return f"{engine} is full ({said}): raise its maxmemory"
    if "MISCONF" in said or "No space left" in said:
        return f"{engine} cannot write its files ({said}): is its disk full?"
    if log_refused(error):
        return f"the log takes no events ({said}): something that is not Triton wrote to it"
    if _REFUSED.search(said):
        return (
            f"{engine} refuses ({said}): check user, password, database and certificate in its URL, and what "
            "that user may do"
        )
    return f"{engine} does not answer ({said}): is it running?"
