"""Owns sealing what is personal in a message, and opening it again.

The message itself says in its option `sealed` where its envelopes are, and which key its job's own words are
sealed with; nothing else is ever opened. Messages within the options (a pipeline's next one, a group's
callbacks) are sealed too, each for its own job.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from dramatiq import Message
from dramatiq.message import get_encoder

from triton.erasure import places
from triton.erasure.envelopes import Envelope, Key, envelope_in
from triton.erasure.keyring import Keyring
from triton.erasure.marks import Marks
from triton.erasure.personal import Personal, under
from triton.erasure.places import Path
from triton.errors import DecodeError, ErasedError, ValidationError
from triton.signature import Signature

#: The message option.
SEALED: Final = "sealed"
_MISSING: Final = object()


class Declared(NamedTuple):
    """What is known of an actor."""

    marks: Marks | None = None
    signature: Signature | None = None


class Opened(NamedTuple):
    """A message as its actor gets it, and the same as hooks may pass it on."""

    message: Message[Any]
    wrapped: Message[Any]
    key: Key | None


class Sealing:
    """How one process seals. `declared` answers what is known of an actor by its name."""

    def __init__(self, keyring: Keyring, declared: Callable[[str], Declared]) -> None:
        self.keyring = keyring
        self._declared = declared

    def close(self) -> None:
        self.keyring.close()

    def look(self, message: Message[Any], tenant: str) -> Found | None:
        """What of a message is personal; None for nothing.

        Raises ErasedError, UnavailableError, ConfigurationError (no store); ValidationError where the subject
        is not named.
        """
        call = {"args": message.args, "kwargs": message.kwargs}
        old = _sealed_option(message.options)
        values, kept, key = self._reopened(message, call, old)
        marks, signature = self._declared(message.actor_name)
        if marks is not None:
            own = self._key_of(message, call, marks, signature, values, tenant)
            for name in marks.fields:
                path = places.path_of(name, message.args, signature)
                value = places.get(call, path)
                if value is None or path in values or path in kept or isinstance(value, Personal):
                    continue
                values[path] = (unwrapped(value), own)
            key = own
        if Personal.any_made:
            for path, found in places.find(call, lambda value: isinstance(value, Personal)):
                if any(path[: len(above)] == above for above in values):
                    continue
                its = found.key or self.keyring.of(tenant, found.subject)
                values[path] = (unwrapped(found.value), its)
                key = key or its
        nested = self._nested(message.options, tenant)
        if not values and not kept and key is None and not nested:
            return None
        return Found(message, values, kept, key.id if key else old.get("key", ""), nested)

    def open(self, message: Message[Any], job: str) -> Opened:
        """The message with its personal values. Raises ErasedError, NotFoundError, UnavailableError,
        DecodeError."""
        call = {"args": message.args, "kwargs": message.kwargs}
        old = _sealed_option(message.options)
        plain: dict[Path, Any] = {}
        wrapped: dict[Path, Any] = {}
        for text in old["at"]:
            path = places.read(text)
            envelope = envelope_in(places.get(call, path))
            if envelope is None:
                raise DecodeError(
                    f"the message of job {job} has no sealed value at {text}", job=job
                )
            key = self.keyring.get(envelope.k)
            plain[path] = _decoded(key.open(envelope.c, job, text))
            wrapped[path] = under(key, plain[path])
        key_id = old.get("key")
        return Opened(
            _with(message, call, plain),
            _with(message, call, wrapped),
            self.keyring.get(key_id) if key_id else None,
        )

    def key_of_call(self, message: Message[Any], tenant: str) -> Key | None:
        """The key of a message that its sender did not seal, for what its job says. Errors as `look`."""
        marks, signature = self._declared(message.actor_name)
        if marks is None:
            return None
        call = {"args": message.args, "kwargs": message.kwargs}
        return self._key_of(message, call, marks, signature, {}, tenant)

    def _reopened(
        self, message: Message[Any], call: Mapping[str, Any], old: Mapping[str, Any]
    ) -> tuple[dict[Path, tuple[Any, Key]], set[Path], Key | None]:
        """What was sealed before, to be sealed for the job that the message becomes; and what stays as it is,
        because nobody can open it any more."""
        values: dict[Path, tuple[Any, Key]] = {}
        kept: set[Path] = set()
        for text in old["at"]:
            path = places.read(text)
            envelope = envelope_in(places.get(call, path))
            if envelope is None:
                continue
            try:
                key = self.keyring.get(envelope.k)
            except ErasedError:
                kept.add(path)
                continue
            values[path] = (_decoded(key.open(envelope.c, message.message_id, text)), key)
        key_id = old.get("key")
        if not key_id:
            return values, kept, None
        try:
            return values, kept, self.keyring.get(key_id)
        except ErasedError:
            return values, kept, None

    def _key_of(
        self,
        message: Message[Any],
        call: Mapping[str, Any],
        marks: Marks,
        signature: Signature | None,
        values: Mapping[Path, tuple[Any, Key]],
        tenant: str,
    ) -> Key:
        path = places.path_of(marks.subject, message.args, signature)
        if path in values:
            return values[path][1]
        subject = places.get(call, path, _MISSING)
        if isinstance(subject, Personal):
            if subject.key is not None:
                return subject.key
            subject = subject.value
        envelope = envelope_in(subject)
        if envelope is not None:
            return self.keyring.get(envelope.k)
        if isinstance(subject, bool) or not isinstance(subject, str | int) or subject == "":
            found = "not there" if subject is _MISSING else f"a {type(subject).__name__}"
            raise ValidationError(
                f"{marks.subject} names the data subject of {message.actor_name} and is {found}, expected a "
                "text or a whole number",
                fields=[{"field": marks.subject, "message": "names the data subject"}],
            )
        return self.keyring.of(tenant, str(subject))

    def _nested(self, options: Mapping[str, Any], tenant: str) -> dict[str, Any]:
        """The options that hold messages with something personal, sealed."""
        made: dict[str, Any] = {}
        target = options.get("pipe_target")
        if isinstance(target, dict) and (found := self._nested_one(target, tenant)):
            made["pipe_target"] = found
        callbacks = options.get("group_completion_callbacks")
        if isinstance(callbacks, list | tuple):
            each = [self._nested_one(one, tenant) for one in callbacks]
            if any(each):
                pairs = zip(each, callbacks, strict=True)
                made["group_completion_callbacks"] = [new or one for new, one in pairs]
        return made

    def _nested_one(self, held: Any, tenant: str) -> dict[str, Any] | None:
        try:
            message: Message[Any] = Message(**held)
        except TypeError:
            return None
        found = self.look(message, str(message.options.get("tenant") or tenant))
        return found.sealed(message).asdict() if found else None


class Found:
    """What of a message is personal, before its job has its id."""

    def __init__(
        self,
        message: Message[Any],
        values: Mapping[Path, tuple[Any, Key]],
        kept: set[Path],
        key: str,
        nested: Mapping[str, Any],
    ) -> None:
        self._message = message
        self._values = values
        self._kept = kept
        self._key = key
        self._nested = nested

    def comparable(self) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments for a comparison with other calls: equal for equal values of a subject, and nothing
        that could be guessed without its key."""
        tokens = {path: key.token(_canonical(value)) for path, (value, key) in self._values.items()}
        call = {"args": self._message.args, "kwargs": self._message.kwargs}
        made = places.replaced(call, tokens)
        return made["args"], made["kwargs"]

    def sealed(self, message: Message[Any]) -> Message[Any]:
        """`message`, which has the same arguments, sealed for the job whose id it has."""
        job = message.message_id
        changes: dict[Path, Any] = {}
        for path, (value, key) in self._values.items():
            plain = _encoded(value)
            sealed = key.seal(plain, job, places.written(path))
            changes[path] = Envelope(c=sealed, k=key.id).marked()
        at = sorted(places.written(path) for path in {*changes, *self._kept})
        options = {**message.options, **self._nested}
        if at or self._key:
            options[SEALED] = {"at": at, "key": self._key}
        call = {"args": message.args, "kwargs": message.kwargs}
        return dataclasses.replace(_with(message, call, changes), options=options)


def _sealed_option(options: Mapping[str, Any]) -> dict[str, Any]:
    found = options.get(SEALED)
    if not isinstance(found, dict) or not isinstance(found.get("at"), list | tuple):
        return {"at": []}
    return found


def _with(
    message: Message[Any], call: Mapping[str, Any], changes: Mapping[Path, Any]
) -> Message[Any]:
    made = places.replaced(call, changes)
    return dataclasses.replace(message, args=tuple(made["args"]), kwargs=made["kwargs"])


def unwrapped(value: Any) -> Any:
    """The value without marks within it: what is around them is sealed as a whole."""
    if isinstance(value, Personal):
        return unwrapped(value.value)
    if not Personal.any_made:
        return value
    inner = places.find(value, lambda each: isinstance(each, Personal))
    return places.replaced(value, {path: unwrapped(found.value) for path, found in inner})


def _encoded(value: Any) -> bytes:
    # As the application's messages are: whatever its actors may take can be sealed.
    return get_encoder().encode({"v": value})


def _decoded(plain: bytes) -> Any:
    return get_encoder().decode(plain)["v"]


def _canonical(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value, order="deterministic")
    except (TypeError, ValueError, RecursionError):
        return _encoded(value)
