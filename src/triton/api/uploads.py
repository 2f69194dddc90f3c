"""Owns taking a file out of a request as it arrives: the raw body, or the form field `file`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from triton.api.problems import MalformedError
from triton.errors import ValidationError

FIELD: Final = "file"
DEFAULT_NAME: Final = "document"
_MAX_NAME: Final = 255
_MAX_HEADER: Final = 8 * 1024
#: What clients send with a raw body when nobody told them what it is.
_NOT_SAID: Final = ("application/x-www-form-urlencoded", "application/octet-stream")


class File(msgspec.Struct):
    """What is known of the file; of a form only after its first chunk."""

    filename: str = ""
    media_type: str = ""


def file_name(text: str) -> str:
    """The last part of a path of any system, printable, at most 255 characters; never empty."""
    name = text.replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in name if c.isprintable())[-_MAX_NAME:].strip()
    return name if name.strip(".") else DEFAULT_NAME


async def chunks(request: Request, file: File, *, filename: str) -> AsyncIterator[bytes]:
    """The file's bytes; fills `file`. `filename` is the request's own word, which a form's wins over.

    Raises MalformedError for a form that is none, ValidationError for a form without a file.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    file.filename = file_name(filename)
    if kind != b"multipart/form-data":
        media_type = kind.decode("latin-1")
        file.media_type = "" if media_type in _NOT_SAID else media_type[:_MAX_NAME]
        async for chunk in request.stream():
            yield chunk
        return
    form = _Form(options.get(b"boundary", b""), file)
    async for chunk in request.stream():
        for piece in form.feed(chunk):
            yield piece
    form.finish()


class _Form:
    """Passes on what belongs to the first field `file`, and nothing else."""

    def __init__(self, boundary: bytes, file: File) -> None:
        if not boundary:
            raise MalformedError("the form has no boundary in its Content-Type")
        self._file = file
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._wanted = False
        self._found = False
        self._ended = False
        self._pieces: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._all,
            },
        )

    def feed(self, chunk: bytes) -> list[bytes]:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedError(f"the form cannot be read: {error}") from error
        pieces, self._pieces = self._pieces, []
        return pieces

    def finish(self) -> None:
        if not self._ended:
            raise MalformedError("the form ends before its last boundary")
        if not self._found:
            raise ValidationError(
                f"the form has no file in a field named {FIELD!r}: use -F {FIELD}=@name with curl",
                fields=[{"field": FIELD, "message": "is required"}],
            )

    def _begin(self) -> None:
        self._headers = {}
        self._wanted = False

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._bounded(self._name)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bounded(self._value)

    def _bounded(self, header: bytearray) -> None:
        if len(header) > _MAX_HEADER:
            raise MalformedError(f"a header of the form has more than {_MAX_HEADER} bytes")

    def _header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if self._found or options.get(b"name") != FIELD.encode():
            return
        self._wanted = self._found = True
        if name := options.get(b"filename"):
            self._file.filename = file_name(name.decode("utf-8", "replace"))
        kind, _ = parse_options_header(self._headers.get(b"content-type", b""))
        media_type = kind.decode("latin-1")
        self._file.media_type = "" if media_type in _NOT_SAID else media_type[:_MAX_NAME]

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        self._wanted = False

    def _all(self) -> None:
        self._ended = True
