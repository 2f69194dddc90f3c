"""Owns one claimed job inside a worker process, from the claim to its outcome."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from dramatiq import Message, Middleware
from dramatiq.broker import MessageProxy
from dramatiq.errors import DecodeError
from dramatiq.threading import Interrupt, raise_thread_exception

from triton.broker.interrupts import CancelRequested, LeaseLost, Snooze
from triton.broker.reports import Reports
from triton.broker.steps import Steps
from triton.events.replies import Claimed
from triton.events.submission import Submission
from triton.payloads import Payloads
from triton.references import Reference, refer, reference_in, resolved

if TYPE_CHECKING:
    from triton.erasure.attempt import Attempt
    from triton.observe.spans import Run

#: A few loop turns give an interrupt that was set for this thread a place to arrive.
_TURNS: Final = 3


class Holder(Protocol):
    """What holds the job's lease and talks to the log for it."""

    by: str

    @property
    def silent(self) -> bool:
        """Whether nothing is sent any more."""

    def report_at(self, proxy: JobProxy, at: float) -> None:
        """The job has said something that is due at a time (monotonic seconds)."""

    def say_deadline(self, proxy: JobProxy, at: float) -> None:
        """The attempt must be over at a time (monotonic seconds)."""

    def recorded_steps(self, proxy: JobProxy) -> dict[bytes, bytes]:
        """What earlier attempts of the job recorded. Raises ConnectionClosed, UnavailableError."""


class JobProxy(MessageProxy):
    """A Dramatiq message under a lease. Its outcome is collected here and written once, at ack or nack."""

    #: Whether an attempt was ever given up in this process: until then nobody needs to ask of one.
    any_given_up: ClassVar[bool] = False

    def __init__(self, message: Message[Any], claimed: Claimed, holder: Holder) -> None:
        super().__init__(message)
        # Asked for many times by Dramatiq and its middleware, and slow to find through MessageProxy.
        self.actor_name = message.actor_name
        self.queue_name = message.queue_name
        self.options = message.options
        self.message_id = message.message_id
        self.claimed = claimed
        #: What names the lease: the job and the attempt.
        self.lease: tuple[str, int] = claimed[:2]
        #: The way of large values into the archive and back.
        self.payloads: Payloads | None = None
        #: Where the keeper finds it (see `triton.keeper.holds`).
        self.slot = -1
        #: What seals the words of a job with personal data.
        self.personal: Attempt | None = None
        #: Its message as hooks may pass it on.
        self._wrapped: Message[Any] | None = None
        self.result: object = None
        self.exception: BaseException | None = None
        #: The next attempt's message and the milliseconds until then, where one was asked for.
        self.retry: tuple[Message[Any], int] | None = None
        #: What is submitted in one step with the outcome, and before it into other partitions.
        self.outbox: list[Submission] = []
        self.apart: list[Submission] = []
        #: Why a message that was to follow cannot be a job.
        self.unsent: Exception | None = None
        #: Messages that followed from the outcome so far, wherever they went.
        self.followed = 0
        self.cancel_requested = False
        self.lease_lost = False
        #: The actor returned or raised; hooks run now.
        self.after_actor = False
        #: The middleware whose after-hooks are still to run, the next one last.
        self.hooks: list[Middleware] | None = None
        #: All hooks ran.
        self.settled = False
        #: The outcome is on its way: nothing can be added to it.
        self.packed = False
        self._holder = holder
        self._reports: Reports | None = None
        self._steps: Steps | None = None
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._interrupt: BaseException | None = None
        #: Where the arguments are, if not in the message.
        self._reference: Reference | None = None
        #: Monotonic seconds at which the attempt began.
        self.begun = 0.0
        #: Its span, where this process traces.
        self.traced: Run | None = None
        #: The thread that has given the attempt up.
        self._ender: int | None = None

    @property
    def message(self) -> Message[Any]:
        """The message itself, with the options that middleware has changed."""
        return self._message

    @property
    def reports(self) -> Reports:
        """What the job says of itself; made when it first says something."""
        with self._lock:
            if self._reports is None:
                self._reports = Reports(
                    self.claimed.job,
                    self.claimed.attempt,
                    self._holder.by,
                    wake=lambda at: self._holder.report_at(self, at),
                    seal=self.personal.report if self.personal is not None else None,
                )
            return self._reports

    @property
    def steps(self) -> Steps:
        """The attempt's durable steps; made when it first takes one."""
        with self._lock:
            if self._steps is None:
                self._steps = Steps(self, self.claimed.attempt)
            return self._steps

    def recorded_steps(self) -> dict[bytes, bytes]:
        return self._holder.recorded_steps(self)

    @property
    def over(self) -> bool:
        """Whether nothing that the attempt says will reach the log any more."""
        return self.packed or self.lease_lost or self._holder.silent

    @property
    def said_something(self) -> bool:
        return self._reports is not None

    @property
    def failure(self) -> BaseException | None:
        """What the actor raised, or what Dramatiq refused the message with."""
        return self.exception or self._exception

    @property
    def nothing_follows(self) -> bool:
        """Whether no message follows from the outcome: it is a snooze, was asked for, or is refused."""
        return isinstance(self.exception, Snooze | CancelRequested | LeaseLost)

    def enter(self) -> None:
        """The calling thread begins to run the actor."""
        with self._lock:
            self._thread = threading.get_ident()
            if not (self.cancel_requested or self.lease_lost):
                return
        raise CancelRequested if self.cancel_requested else LeaseLost

    def resolve(self, payloads: Payloads) -> None:
        """Fetch the arguments where a reference stands for them.

        Raises NotFoundError, UnavailableError, DecodeError: the attempt fails.
        """
        self.payloads = payloads
        reference = reference_in(self._message.kwargs)
        if reference is not None:
            self._reference = reference
            self._message = resolved(self._message, payloads.fetch(reference))

    def unseal(self, attempt: Attempt, message: Message[Any], wrapped: Message[Any]) -> None:
        """From now on the message has its personal values, and what the job says is sealed."""
        self.personal = attempt
        if attempt.seals_errors:
            self.options = _Quiet(self.options)
            message = dataclasses.replace(message, options=self.options)
            wrapped = dataclasses.replace(wrapped, options=self.options)
        self._message = message
        self._wrapped = wrapped

    def wrap(self) -> None:
        """The actor is done: whatever passes the message on passes marked values on."""
        if self._wrapped is not None:
            self._message = self._wrapped

    @property
    def seals_errors(self) -> bool:
        """Whether what the job's errors say is personal: no log quotes it then."""
        return self.personal is not None and self.personal.seals_errors

    def __str__(self) -> str:
        # Dramatiq's worker writes messages into its log.
        return str(self._message if self._wrapped is None else self._wrapped)

    def as_submitted(self, message: Message[Any]) -> Message[Any]:
        """The next attempt's message, with what this one's arguments came by: a reference, envelopes."""
        own = message.message if isinstance(message, JobProxy) else message
        if self.personal is not None:
            before = self.personal.submitted
            own = dataclasses.replace(own, args=before.args, kwargs=before.kwargs)
        return own if self._reference is None else refer(own, self._reference)

    def leave(self, result: object, exception: BaseException | None) -> None:
        """The actor is done, with this outcome; only the first one said counts."""
        if self.after_actor:
            return
        self._disarm()
        if self._ender is not None:
            return
        exception = self._interrupt or exception
        self.after_actor = True
        self.result = result if exception is None else None
        self.exception = exception

    def stuff_exception(self, exception: BaseException) -> None:
        # The first thing a worker does when an actor raised. It logs the exception next, and an interrupt
        # that arrived in there would end the worker's thread.
        self._disarm()
        super().stuff_exception(self._interrupt or exception)

    def _disarm(self) -> None:
        """From here on, interrupts of ours find nobody; one that is on its way arrives in here."""
        try:
            with self._lock:
                self._thread = None
            for _ in range(_TURNS):
                pass
        except Interrupt as interrupt:
            self._thread = None
            # A time limit that arrives in here comes too late: the actor is done.
            if isinstance(interrupt, CancelRequested | LeaseLost):
                self._interrupt = interrupt

    def interrupt(self, kind: type[Interrupt]) -> bool:
        """Stop the actor, wherever it is; one that was cancelled before it began never will.

        False where the actor does not run, or knows already that it was cancelled or lost its lease.
        """
        with self._lock:
            known = False
            if kind is CancelRequested:
                known, self.cancel_requested = self.cancel_requested, True
            elif kind is LeaseLost:
                known, self.lease_lost = self.lease_lost, True
            if known or self._thread is None:
                return False
            raise_thread_exception(self._thread, kind)
            return True

    def give_up(self, exception: BaseException) -> int | None:
        """End the attempt with this exception, although its actor runs on. From now on only the calling
        thread speaks for the job. Answers the actor's thread; None where the actor is done already.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                JobProxy.any_given_up = True
                self._ender = threading.get_ident()
                self.after_actor = True
                self.exception = exception
            return thread

    @property
    def ended_elsewhere(self) -> bool:
        """Whether another thread has given the attempt up and speaks for the job."""
        return self._ender is not None and self._ender != threading.get_ident()

    def say_deadline(self, at: float) -> None:
        """When the attempt is to be over, in monotonic seconds, for who watches the process."""
        self._holder.say_deadline(self, at)

    def go_back(
        self,
        near: int,
        apart: int,
        followed: int,
        retry: tuple[Message[Any], int] | None,
        unsent: Exception | None,
    ) -> None:
        """Forget what was sent since then: the hook that sent it begins anew."""
        del self.outbox[near:], self.apart[apart:]
        self.followed, self.retry, self.unsent = followed, retry, unsent

    def forget(self) -> None:
        """The outcome is packed: let go of the result, and of the exception with all its frames."""
        self.packed = True
        self.result = self.exception = self._interrupt = None


class _Quiet(dict[str, Any]):
    """Options in which Dramatiq leaves no traceback: it may quote what is personal."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, "[personal]" if name == "traceback" else value)


def message_of(claimed: Claimed) -> Message[Any]:
    """The message that a job was submitted with. Raises DecodeError for what no worker can run."""
    message = Message.decode(claimed.body)
    fits = (
        message.message_id == claimed.job
        and message.queue_name == claimed.queue
        and isinstance(message.actor_name, str)
        and isinstance(message.kwargs, dict)
        and isinstance(message.options, dict)
    )
    if not fits:
        raise DecodeError("the message is not the one that was submitted", claimed.body, None)
    # Dramatiq's worker would keep such a message in its memory until then; the time has come already.
    message.options.pop("eta", None)
    return message
