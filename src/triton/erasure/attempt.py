"""Owns what one attempt of a job seals of what it says: result, output, progress, steps, errors."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from dramatiq import Message

from triton.erasure.envelopes import Envelope, Key, envelope_in
from triton.erasure.marks import Marks
from triton.erasure.personal import under
from triton.events.types import Error, Output, Progressed, StepCompleted

_ERRORS_ONLY: Final = Marks(subject="")
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.decode


class Attempt:
    """Holds the subject's key for as long as the attempt runs.

    `submitted` is the message with its envelopes, as the next attempt's is written.
    """

    def __init__(self, *, job: str, key: Key, marks: Marks | None, submitted: Message[Any]) -> None:
        self._job = job
        self._key = key
        # Where only the sender marked values, the errors that may quote them are sealed.
        self._marks = marks or _ERRORS_ONLY
        self.submitted = submitted

    @property
    def seals_errors(self) -> bool:
        return self._marks.errors

    def result(self, value: Any) -> Any:
        """The result as it is stored. Raises what msgpack raises for what is no plain data."""
        marked = self._marks.result
        if value is None or marked is False:
            return value
        if marked is True:
            return self._value(value, "result")
        if not isinstance(value, dict):
            return value
        return {
            name: self._value(each, f"result/{name}") if name in marked else each
            for name, each in value.items()
        }

    def passed_on(self, value: Any) -> Any:
        """The result as hooks get it, who send it to other jobs."""
        marked = self._marks.result
        if value is None or marked is False:
            return value
        if marked is True:
            return under(self._key, value)
        if not isinstance(value, dict):
            return value
        return {
            name: under(self._key, each) if name in marked else each for name, each in value.items()
        }

    def error(self, error: Error) -> Error:
        """The class of an error stays readable."""
        if not self._marks.errors:
            return error
        return Error(
            type=error.type,
            message=self._text(error.message, "error/message"),
            traceback=self._text(error.traceback, "error/traceback"),
        )

    def message(self, text: str) -> Any:
        """What an error says, as hooks send it to other jobs."""
        return under(self._key, text) if self._marks.errors else text

    def report(
        self, data: Progressed | Output | StepCompleted
    ) -> Progressed | Output | StepCompleted:
        match data:
            case Output(chunk=chunk) if self._marks.output:
                return Output(chunk=self._text(chunk, "output"))
            case Progressed(stage=stage) if self._marks.progress and stage:
                return msgspec.structs.replace(data, stage=self._text(stage, "stage"))
            case _:
                return data

    def step(self, name: str, value: Any) -> Any:
        """A step's result as it is stored."""
        if value is None or not self._marks.steps:
            return value
        return self._value(value, f"step/{name}")

    def open_step(self, name: str, value: Any) -> Any:
        """What an earlier attempt stored. Raises DecodeError."""
        return open_value(self._key, value, self._job, f"step/{name}")

    def _value(self, value: Any, place: str) -> dict[str, Any]:
        return Envelope(c=self._key.seal(_pack(value), self._job, place), k=self._key.id).marked()

    def _text(self, text: str, place: str) -> str:
        if not text:
            return text
        return Envelope(c=self._key.seal(text.encode(), self._job, place), k=self._key.id).word()


def open_value(key: Key, value: Any, job: str, place: str) -> Any:
    """What an envelope of `Attempt` holds; any other value as it is. Raises DecodeError."""
    envelope = envelope_in(value)
    if envelope is None:
        return value
    plain = key.open(envelope.c, job, place)
    return plain.decode() if isinstance(value, str) else _unpack(plain)
