"""Owns reading what jobs sealed, for whoever may use the keys."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
from dramatiq import Message

from triton.erasure.attempt import open_value
from triton.erasure.envelopes import envelope_in
from triton.erasure.keyring import Keyring
from triton.erasure.messages import SEALED, Declared, Sealing
from triton.events.types import (
    Completed,
    Error,
    EventData,
    Failed,
    Output,
    Progressed,
    RetryScheduled,
    StepCompleted,
    Submitted,
)


class Reader:
    """Opens the words of jobs, and their messages.

    Every method raises ErasedError, NotFoundError, UnavailableError, DecodeError.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._sealing = Sealing(keyring, lambda _: Declared())

    def body(self, job: str, body: bytes) -> bytes:
        """An encoded message with its personal values; its arguments are in it, not in the archive."""
        message: Message[Any] = Message.decode(body)
        if SEALED not in message.options:
            return body
        opened = self._sealing.open(message, job).message
        options = {name: each for name, each in opened.options.items() if name != SEALED}
        return dataclasses.replace(opened, options=options).encode()

    def result(self, job: str, value: Any) -> Any:
        """A result that may be sealed, as a whole or in part."""
        if envelope_in(value) is None and isinstance(value, dict):
            return {name: self._open(job, each, f"result/{name}") for name, each in value.items()}
        return self._open(job, value, "result")

    def at(self, job: str, value: Any, place: str) -> Any:
        """A value of a place that `Attempt` names."""
        return self.result(job, value) if place == "result" else self._open(job, value, place)

    def step(self, job: str, name: str, value: Any) -> Any:
        return self._open(job, value, f"step/{name}")

    def error(self, job: str, error: Error) -> Error:
        return Error(
            type=error.type,
            message=self._open(job, error.message, "error/message"),
            traceback=self._open(job, error.traceback, "error/traceback"),
        )

    def data(self, job: str, data: EventData) -> EventData:
        """An event's data; arguments that are in the archive stay there."""
        match data:
            case Submitted(body=body):
                return msgspec.structs.replace(data, body=self.body(job, body))
            case Completed(result=result) if result is not None:
                return msgspec.structs.replace(data, result=self.result(job, result))
            case Failed(error=error) | RetryScheduled(error=error):
                return msgspec.structs.replace(data, error=self.error(job, error))
            case StepCompleted(name=name, result=result):
                return msgspec.structs.replace(data, result=self.step(job, name, result))
            case Output(chunk=chunk):
                return Output(chunk=self._open(job, chunk, "output"))
            case Progressed(stage=stage):
                return msgspec.structs.replace(data, stage=self._open(job, stage, "stage"))
            case _:
                return data

    def _open(self, job: str, value: Any, place: str) -> Any:
        envelope = envelope_in(value)
        if envelope is None:
            return value
        return open_value(self._keyring.get(envelope.k), value, job, place)
