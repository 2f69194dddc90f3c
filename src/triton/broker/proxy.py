"""Owns one claimed job inside a worker process, from the claim to its outcome."""

from __future__ import annotations

import threading
from typing import Any, Final

from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.threading import Interrupt, raise_thread_exception

from triton.broker.context import CancelRequested, Job, LeaseLost
from triton.broker.reports import Reports
from triton.events.scripts import Claimed, Submission

#: A few loop turns give an interrupt that was set for this thread a place to arrive.
_TURNS: Final = 3


class JobProxy(MessageProxy):
    """A Dramatiq message under a lease. Its outcome is collected here and written once, at ack or nack."""

    def __init__(self, message: Message[Any], claimed: Claimed, reports: Reports) -> None:
        super().__init__(message)
        self.claimed = claimed
        self.reports = reports
        self.job = Job(self)
        self.result: object = None
        self.exception: BaseException | None = None
        #: Milliseconds until the retry that the Retries middleware asked for.
        self.retry_delay: int | None = None
        self.outbox: list[Submission] = []
        self.cancel_requested = False
        self.lease_lost = False
        #: The actor returned or raised; hooks run now.
        self.after_actor = False
        self._lock = threading.Lock()
        self._thread: int | None = None

    @property
    def message(self) -> Message[Any]:
        """The message itself, with the options that middleware has changed."""
        return self._message

    @property
    def failure(self) -> BaseException | None:
        """What the actor raised, or what Dramatiq refused the message with."""
        return self.exception or self._exception

    def enter(self) -> None:
        """The calling thread begins to run the actor."""
        with self._lock:
            self._thread = threading.get_ident()
            if not (self.cancel_requested or self.lease_lost):
                return
        raise CancelRequested if self.cancel_requested else LeaseLost

    def leave(self, result: object, exception: BaseException | None) -> None:
        """The actor is done: interrupts find nobody from here on. The last outcome said counts.

        An interrupt that was on its way arrives in here and is taken as the outcome, because raised any
        later it would end the worker's thread.
        """
        try:
            with self._lock:
                self._thread = None
            for _ in range(_TURNS):
                pass
        except (CancelRequested, LeaseLost) as interrupt:
            exception = interrupt
            self._thread = None
        self.after_actor = True
        self.result = result
        self.exception = exception

    def interrupt(self, kind: type[CancelRequested | LeaseLost]) -> None:
        """Stop the actor, wherever it is; an actor that has not begun never will."""
        with self._lock:
            if kind is CancelRequested:
                known, self.cancel_requested = self.cancel_requested, True
            else:
                known, self.lease_lost = self.lease_lost, True
            if not known and self._thread is not None:
                raise_thread_exception(self._thread, kind)

    def forget(self) -> None:
        """The outcome is packed: let go of the result, and of the exception with all its frames."""
        self.result = self.exception = None
        self.clear_exception()

    @property
    def interrupted(self) -> bool:
        return isinstance(self.exception, Interrupt)
