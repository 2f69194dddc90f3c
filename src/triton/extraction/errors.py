"""Owns the one error of the extraction: the document itself is the reason, so nobody tries again."""

from __future__ import annotations

from typing import Literal

from triton.errors import TritonError

Code = Literal[
    "document_broken",
    "document_encrypted",
    "document_empty",
    "document_unsupported",
    "document_too_large",
    "document_renamed",
]


class ExtractionError(TritonError):
    """This document cannot be extracted, now or later. `code` says why, the message in one sentence."""

    code = "document_broken"

    def __init__(self, code: Code, message: str, **details: object) -> None:
        super().__init__(message, **details)
        self.code = code

    def __str__(self) -> str:
        """The code first: the log keeps of an exception its class and this text."""
        return f"{self.code}: {self.message}"


def broken(message: str, **details: object) -> ExtractionError:
    return ExtractionError("document_broken", message, **details)


def too_large(message: str, **details: object) -> ExtractionError:
    return ExtractionError("document_too_large", message, **details)


def unsupported(message: str, **details: object) -> ExtractionError:
    return ExtractionError("document_unsupported", message, **details)


def renamed(message: str, **details: object) -> ExtractionError:
    return ExtractionError("document_renamed", message, **details)


def empty(message: str, **details: object) -> ExtractionError:
    return ExtractionError("document_empty", message, **details)


def encrypted(message: str, **details: object) -> ExtractionError:
    return ExtractionError("document_encrypted", message, **details)
