"""Owns references: how arguments or a result stand in the log when they are in the archive. Pure.

A reference is plain data where the value would be, so whoever reads the log sees what it is and where.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import msgspec
from dramatiq import Message
from dramatiq.encoder import Encoder
from dramatiq.message import get_encoder

from triton.errors import ValidationError
from triton.events.codec import decode_data, encode_data
from triton.events.submission import Submission
from triton.events.types import SCHEMA, Submitted

#: The one name of a reference. No parameter of a function can have it.
MARK: Final = "triton.archived"
#: Bytes of a message or a result at most, in the archive.
MAX_ARCHIVED: Final = 16 * 1024 * 1024


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """An object in the archive: its key, the SHA-256 of its bytes in hex, their number."""

    key: str
    sha256: str
    size: int

    def marked(self) -> dict[str, Any]:
        """As it stands in place of a value."""
        return {MARK: msgspec.to_builtins(self)}


def reference_in(value: object) -> Reference | None:
    """The reference that stands in place of a value; None for any other value."""
    if not isinstance(value, dict) or value.keys() != {MARK}:
        return None
    try:
        return msgspec.convert(value[MARK], Reference)
    except msgspec.ValidationError:
        return None


def check_free(kwargs: object) -> None:
    """Raises ValidationError where a sender uses the name, say to read what is another's."""
    if isinstance(kwargs, dict) and MARK in kwargs:
        raise ValidationError(
            f"the name {MARK!r} is Triton's own: choose another for the argument",
            fields=[{"field": f"kwargs.{MARK}", "message": "is a reserved name"}],
        )


def arguments_of(submission: Submission) -> bytes:
    """What of a submission goes into the archive: its arguments, as Dramatiq encodes them."""
    message = Message.decode(submission.body)
    return _encoder().encode({"args": message.args, "kwargs": message.kwargs})


def by_reference(submission: Submission, reference: Reference) -> Submission:
    """The same submission, with the reference in place of its arguments."""
    body = refer(Message.decode(submission.body), reference).encode()
    data = decode_data("job.submitted", SCHEMA, submission.data)
    assert isinstance(data, Submitted)
    data = msgspec.structs.replace(data, body=body)
    return msgspec.structs.replace(submission, body=body, data=encode_data(data))


def refer(message: Message[Any], reference: Reference) -> Message[Any]:
    """The message with the reference in place of its arguments; its options are the same object."""
    return dataclasses.replace(message, args=(), kwargs=reference.marked())


def resolved(message: Message[Any], arguments: bytes) -> Message[Any]:
    """The message with its arguments as they came from the archive."""
    found = _encoder().decode(arguments)
    return dataclasses.replace(message, args=tuple(found["args"]), kwargs=found["kwargs"])


def _encoder() -> Encoder:
    return get_encoder()
