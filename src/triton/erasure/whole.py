"""Owns an event's data with what the archive keeps of it in its place."""

from __future__ import annotations

from typing import Any

import msgspec
from dramatiq import Message

from triton.events.types import Completed, EventData, StepCompleted, Submitted
from triton.payloads import Payloads
from triton.references import reference_in, resolved


def whole(data: EventData, payloads: Payloads) -> EventData:
    """The data without references. Raises NotFoundError, UnavailableError, DecodeError."""
    match data:
        case Submitted(body=body):
            message: Message[Any] = Message.decode(body)
            reference = reference_in(message.kwargs)
            if reference is None:
                return data
            full = resolved(message, payloads.fetch(reference)).encode()
            return msgspec.structs.replace(data, body=full)
        case Completed(result=result) | StepCompleted(result=result):
            reference = reference_in(result)
            if reference is None:
                return data
            value = msgspec.msgpack.decode(payloads.fetch(reference))
            return msgspec.structs.replace(data, result=value)
        case _:
            return data
