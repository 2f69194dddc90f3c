"""Owns personal data on its way through a broker: whose actors take it, what seals it, what opens it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dramatiq import Message

from triton.broker.proxy import JobProxy
from triton.erasure.marks import Marks
from triton.erasure.personal import Personal, may_be_sealed
from triton.settings import Settings
from triton.signature import Signature

if TYPE_CHECKING:
    from triton.erasure.messages import Declared, Sealing


class PersonalData:
    """Of one broker. No key is asked for before the first value is sealed or opened.

    `signatures` are those of the declared actors, by their names.
    """

    def __init__(self, settings: Settings, signatures: Mapping[str, Signature | None]) -> None:
        self._settings = settings
        self._signatures = signatures
        #: Of the actors that take or say personal data.
        self._marked: dict[str, Marks] = {}
        self._lock = threading.Lock()
        self._sealing: Sealing | None = None

    def mark(self, actor: str, marks: Marks) -> None:
        """An actor takes or says personal data."""
        self._marked[actor] = marks

    def sealing(self) -> Sealing:
        with self._lock:
            if self._sealing is None:
                from triton.erasure.keyring import keyring_of
                from triton.erasure.messages import Sealing

                self._sealing = Sealing(keyring_of(self._settings), self._declared)
            return self._sealing

    def sealing_for(self, message: Message[Any]) -> Sealing | None:
        """None where the message has nothing personal for certain."""
        if self._marked or Personal.any_made or "sealed" in message.options:
            return self.sealing()
        return None

    def opened(self, job: str, value: Any, place: str) -> Any:
        """What a job left at a place, without envelopes. Raises ErasedError, NotFoundError, UnavailableError,
        DecodeError."""
        if not may_be_sealed(value):
            return value
        from triton.erasure.reading import Reader

        return Reader(self.sealing().keyring).at(job, value, place)

    def begin(self, proxy: JobProxy) -> None:
        """Give the actor the plain values, and the attempt the key that its own words are sealed with.

        Raises ErasedError, NotFoundError, UnavailableError, DecodeError: the attempt fails.
        """
        if "sealed" not in proxy.options and proxy.actor_name not in self._marked:
            return
        from triton.erasure.attempt import Attempt
        from triton.erasure.quiet import keep_quiet

        sealing, claimed = self.sealing(), proxy.claimed
        submitted = proxy.message
        opened = sealing.open(submitted, claimed.job)
        key = opened.key or sealing.key_of_call(opened.message, claimed.tenant)
        if key is None:
            return
        marks = self._marked.get(proxy.actor_name)
        attempt = Attempt(job=claimed.job, key=key, marks=marks, submitted=submitted)
        if attempt.seals_errors:
            keep_quiet()
        proxy.unseal(attempt, opened.message, opened.wrapped)

    def close(self) -> None:
        if self._sealing is not None:
            self._sealing.close()

    def _declared(self, actor: str) -> Declared:
        from triton.erasure.messages import Declared

        return Declared(self._marked.get(actor), self._signatures.get(actor))
