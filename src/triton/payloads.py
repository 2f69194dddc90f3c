"""Owns the way of large arguments and results into the archive and back."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Self

from triton.archive import ArchiveStore, open_archive
from triton.errors import DecodeError, UnavailableError
from triton.events.submission import Submission
from triton.references import MAX_ARCHIVED, Reference, arguments_of, by_reference
from triton.settings import Settings
from triton.submit import MAX_BODY, too_large


class Payloads:
    """What is larger than `inline` bytes goes by reference, if there is an archive.

    The archive is opened when it is first needed. Safe to use from any thread.
    """

    def __init__(self, open_store: Callable[[], ArchiveStore] | None, *, inline: int) -> None:
        self._open = open_store
        self._inline = inline
        self._lock = threading.Lock()
        self._store: ArchiveStore | None = None
        #: Bytes of one message at most.
        self.most = MAX_BODY if open_store is None else MAX_ARCHIVED

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the archive that the settings name, if any."""
        url = settings.archive_url
        return cls(partial(open_archive, url) if url else None, inline=settings.inline_bytes)

    def shrink(self, submission: Submission) -> Submission:
        """The submission as it goes into the log.

        Raises UnavailableError where the archive does not answer, ValidationError for options that are too
        large: only arguments are archived.
        """
        if len(submission.body) <= self._inline or self._open is None:
            return submission
        reference = self._put(arguments_of(submission))
        small = by_reference(submission, reference)
        if len(small.body) > MAX_BODY:
            raise too_large(submission.actor, len(small.body), "options", MAX_BODY)
        return small

    def keep(self, data: bytes) -> Reference | None:
        """Archive a result; None where there is no archive. Raises UnavailableError."""
        return None if self._open is None else self._put(data)

    def fetch(self, reference: Reference) -> bytes:
        """The object, checked. Raises NotFoundError, UnavailableError, DecodeError (other bytes)."""
        if self._open is None:
            raise UnavailableError(
                f"{reference.key} is in the archive, and this process has none: set TRITON_ARCHIVE_URL to "
                "the archive that senders and workers share"
            )
        data = self._archive().read(reference.key)
        found = hashlib.sha256(data).hexdigest()
        if found != reference.sha256:
            raise DecodeError(
                f"{reference.key} in the archive has SHA-256 {found}, expected {reference.sha256}: "
                "its bytes were changed, restore it from a backup"
            )
        return data

    def _put(self, data: bytes) -> Reference:
        stored = self._archive().put_content(data)
        return Reference(key=stored.key, sha256=stored.sha256, size=stored.size)

    def _archive(self) -> ArchiveStore:
        with self._lock:
            if self._store is None:
                assert self._open is not None
                self._store = self._open()
            return self._store
