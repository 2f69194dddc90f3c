"""Owns how texts and data of events look in the stores: as JSON that both accept. Pure.

jsonb and text refuse U+0000, and no store takes half a surrogate pair; one such character in one job must
not stop everybody's projection. So U+0000 is shown as U+2400 (the symbol for null) and a lone surrogate as
U+FFFD. That loses nothing: the stores are for reading, and the log keeps the exact bytes. Numbers that JSON
lacks (NaN, infinities) are null, binary values base64, other keys and values than JSON's their text.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from triton.events.codec import unforeseen
from triton.events.types import TYPES, EventData, Submitted, type_of

_encode: Final = msgspec.json.Encoder().encode
_encode_lines: Final = msgspec.json.Encoder().encode_lines
_decode: Final = msgspec.json.Decoder().decode
#: In JSON a backslash is always the first character of a pair, so this never splits one.
_NUL_ESCAPE: Final = re.compile(rb"\\\\|\\u0000")
#: JSON text of these bytes alone looks the same in a line, and holds no escape that a store could refuse.
_SAFE: Final = bytes(byte for byte in range(32, 127) if byte != ord("\\"))
#: Bytes of an encoded Struct up to its first own field: its tag, with what stands around it.
_TAGS: Final = {cls: len(b'{"type":"%b",' % name.encode()) for name, cls in TYPES.items()}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """The text without characters that a store refuses."""
    if "\0" in text:
        text = text.replace("\0", "\u2400")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def to_json(value: Any) -> bytes:
    """Compact JSON of a value that came out of msgpack or JSON."""
    try:
        encoded = _encode(value)
    except (TypeError, UnicodeEncodeError):
        encoded = _encode(plain(value))
    return without_nul(encoded)


def without_nul(encoded: bytes) -> bytes:
    r"""JSON with every `\u0000` shown as U+2400."""
    if b"\\u0000" not in encoded:
        return encoded
    return _NUL_ESCAPE.sub(lambda pair: b"\\u2400" if len(pair[0]) > 2 else pair[0], encoded)


def plain(value: Any) -> Any:
    """The value in JSON's own types."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return clean_text(value)
        case dict():
            return {_key(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case bytes() | bytearray() | memoryview():
            return b64encode(value).decode()
        case msgspec.msgpack.Ext():
            return b64encode(value.data).decode()
        case _:
            return clean_text(str(value))


def _key(key: Any) -> str:
    return clean_text(key) if isinstance(key, str) else str(key)


class _Message(msgspec.Struct, gc=False):
    args: msgspec.Raw = msgspec.Raw(b"null")
    kwargs: msgspec.Raw = msgspec.Raw(b"null")


class Body(msgspec.Struct, frozen=True, gc=False):
    """A message's body that is a JSON object: all of it, and its args and kwargs; each as JSON, None for
    null or nothing."""

    shown: bytes
    _message: _Message

    @property
    def args(self) -> bytes | None:
        return _given(bytes(self._message.args))

    @property
    def kwargs(self) -> bytes | None:
        return _given(bytes(self._message.kwargs))


class _Object(msgspec.Struct, gc=False):
    """Any JSON object, of which nothing is wanted."""


_decode_objects: Final = msgspec.json.Decoder(list[_Object | int]).decode
_decode_message: Final = msgspec.json.Decoder(_Message).decode
_decode_messages: Final = msgspec.json.Decoder(list[_Message | int]).decode


def bodies_of(raws: Sequence[bytes]) -> list[Body | None]:
    """`body_of` of many, in a third of the time."""
    messages = _at_once(_decode_messages, raws)
    return list(map(body_of, raws) if messages is None else map(Body, raws, messages))


def _at_once(decode: Callable[[bytes], list[Any]], raws: Sequence[bytes]) -> list[Any] | None:
    """Objects that look the same in a line, decoded in one call; None where one of them is none."""
    if raws and not b"".join(raws).translate(None, _SAFE):
        fence = unforeseen()
        between = b",%d," % fence
        try:
            found = decode(b"[" + between.join(raws) + between[:-1] + b"]")
        except (msgspec.MsgspecError, RecursionError):
            return None
        objects = found[::2]
        if found[1::2] == [fence] * len(raws) and int not in set(map(type, objects)):
            return objects
    return None


def body_of(raw: bytes) -> Body | None:
    """A message's body as JSON would read it, or None where it is not a JSON object."""
    if not raw.translate(None, _SAFE):
        # The usual message needs no change; then it is only checked, which is a third of the work.
        try:
            return Body(raw, _decode_message(raw))
        except (msgspec.MsgspecError, RecursionError):
            pass
    body = _lenient(raw)
    if not isinstance(body, dict):
        return None
    message = {name: msgspec.Raw(to_json(body.get(name))) for name in ("args", "kwargs")}
    return Body(to_json(body), _Message(**message))


def _given(encoded: bytes) -> bytes | None:
    return None if encoded == b"null" else encoded


def _lenient(raw: bytes) -> Any:
    try:
        return _decode(raw)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        # Python's own encoder writes what strict JSON forbids: NaN, lone surrogates, huge exponents.
        try:
            return plain(json.loads(raw))
        except (ValueError, RecursionError):
            return None


def data_json(data: EventData) -> bytes:
    """An event's data as a JSON object, without the type; `body` of job.submitted as the JSON it holds."""
    if isinstance(data, Submitted):
        return _submitted_line(data, _body_json(data.body))
    return without_nul(_untagged(data))


def data_lines(data: Sequence[EventData]) -> bytes:
    """The same of many, each at the end of its line. Structs without a tag, as `decode_column` makes them,
    and no job.submitted."""
    try:
        encoded = _encode_lines(data)
    except (TypeError, UnicodeEncodeError):
        encoded = b"".join([to_json(one) + b"\n" for one in data])
    return without_nul(encoded)


def submitted_lines(data: Sequence[Submitted]) -> bytes:
    """The same of many job.submitted, with a line feed between them."""
    raws = [one.body for one in data]
    if _at_once(_decode_objects, raws) is None:
        raws = list(map(_body_json, raws))
    return b"\n".join(map(_submitted_line, data, raws))


def _submitted_line(data: Submitted, body: bytes) -> bytes:
    more = b',"priority":%d' % data.priority if data.priority else b""
    if data.due:
        more += b',"due":%d' % data.due
    if data.expires:
        more += b',"expires":%d' % data.expires
    if data.unique or data.payload:
        more += _terms_json(data)
    return b'{"actor":%b,"body":%b%b}' % (_actor_json(data.actor), body, more)


def _body_json(raw: bytes) -> bytes:
    body = body_of(raw)
    return to_json(raw) if body is None else body.shown


def _terms_json(data: Submitted) -> bytes:
    more = b',"unique":' + to_json(data.unique) if data.unique else b""
    if data.window:
        more += b',"window":%d' % data.window
    if data.payload:
        more += b',"payload":%b,"keep":%d' % (to_json(data.payload), data.keep)
    return more


@lru_cache(maxsize=1024)
def _actor_json(actor: str) -> bytes:
    return to_json(actor)


def _untagged(data: EventData) -> bytes:
    try:
        encoded = _encode(data)
    except (TypeError, UnicodeEncodeError):
        encoded = _encode({"type": type_of(data)} | plain(data))
    # `{"type":"job.started","worker":...}` -> `{"worker":...}`
    rest = encoded[_TAGS[type(data)] :]
    return b"{" + rest if rest else b"{}"
