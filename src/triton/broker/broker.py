"""Owns the Dramatiq broker: plain messages in, jobs with a history out.

Setting a TritonBroker as the broker is the only change an existing Dramatiq application needs. There is no
connection, thread or id before the first use, so it may be created at import and forked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from dramatiq import Actor, Message, Middleware
from dramatiq.broker import Broker, Consumer
from dramatiq.errors import QueueJoinTimeout, QueueNotFound

from triton.broker.consumer import TritonConsumer
from triton.broker.context import current_proxy
from triton.broker.failures import Failures
from triton.broker.hooked import Hooked
from triton.broker.hooks import end_span, follows, run_hooks
from triton.broker.intake import Intake
from triton.broker.middleware import give_way, own_middleware, own_results
from triton.broker.personal import PersonalData
from triton.broker.proxy import JobProxy
from triton.broker.submitting import Submitting, under
from triton.broker.timing import Timing
from triton.broker.traced import is_retry, submitting
from triton.broker.working import Working
from triton.bulk import Mode, Receipt, nothing_submitted, receipt_of, refused
from triton.erasure.marks import declared_marks
from triton.errors import ErasedError, ValidationError
from triton.events.client import connect
from triton.events.scripts import Scripts
from triton.events.submission import Submission
from triton.observe import tracing
from triton.payloads import Payloads
from triton.retry import plain_options
from triton.settings import load
from triton.signature import Signature, encode, signature_of
from triton.terms import ACTOR_OPTIONS, encode_declared, terms_of
from triton.verdict import verdict_of

if TYPE_CHECKING:
    from triton.erasure.messages import Sealing

#: What whoever makes a broker calls the settings that it takes.
_CALLED: Final = {"redis_url": "url of TritonBroker"} | {
    name: f"{name} of TritonBroker"
    for name in (
        "namespace",
        "partitions",
        "lease_ms",
        "max_deaths",
        "completed_ttl_ms",
        "failed_ttl_ms",
        "idempotency_ms",
        "subject_keys",
    )
}


class TritonBroker(Broker):
    """A Dramatiq broker on Triton's log.

    What is not given comes from the settings, so from the variables TRITON_REDIS_URL, TRITON_NAMESPACE and
    so on. Parameters (all `_ms` are milliseconds):
      url: redis://, rediss://, unix:// or redis+cluster:// URL; without any it is redis://127.0.0.1:6379/0.
      middleware: as for any Dramatiq broker; None takes Dramatiq's default list, and results that are
        read from the log's heads (a Results middleware that is added later takes their place).
      namespace: prefix of every key. partitions: must be what the log was created with.
      lease_ms: time without a heartbeat after which a worker counts as dead.
      max_deaths: leases a job may lose before it ends as failed.
      completed_ttl_ms, failed_ttl_ms: how long the heads of ended jobs stay in Redis; within it the
        same message id is the same job.
      idempotency_ms: how long after its end a job answers to its idempotency key, at least.
      by: who submits, where it is no actor: `system`, or `user:NAME`, `key:ID`.
      fail_fast_default: for tests: `join` raises what a job failed with that ran in this process, as
        Dramatiq's StubBroker does. It keeps the first exception of each queue until `join` or `flush`.
      subject_keys: file:///folder or postgresql:// URL of the keys that personal data is sealed with.

    Raises ConfigurationError for a URL or a number that cannot be used. Whether there is a server is seen at
    the first use.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        middleware: list[Middleware] | None = None,
        namespace: str | None = None,
        partitions: int | None = None,
        lease_ms: int | None = None,
        max_deaths: int | None = None,
        completed_ttl_ms: int | None = None,
        failed_ttl_ms: int | None = None,
        idempotency_ms: int | None = None,
        by: str = "system",
        fail_fast_default: bool = False,
        subject_keys: str | None = None,
    ) -> None:
        settings = load(
            called=_CALLED,
            redis_url=url or None,
            namespace=namespace,
            partitions=partitions,
            lease_ms=lease_ms,
            max_deaths=max_deaths,
            completed_ttl_ms=completed_ttl_ms,
            failed_ttl_ms=failed_ttl_ms,
            idempotency_ms=idempotency_ms,
            subject_keys=subject_keys,
        )
        self._hooked = Hooked()
        #: Of Triton's default list: gives way to one of its kind that is added later.
        self._own = own_middleware(settings) if middleware is None else []
        super().__init__(middleware=list(self._own) if middleware is None else middleware)
        if middleware is None:
            results = own_results(self)
            self.add_middleware(results)
            self._own.append(results)
        # Dramatiq's decorator takes it of an actor beside the options that middleware knows.
        self.actor_options |= {"retry", "personal", "slow_run_ms", "slow_wait_ms", *ACTOR_OPTIONS}
        self.url = settings.redis_url or "redis://127.0.0.1:6379/0"
        self.namespace = settings.namespace
        self.partitions = settings.partitions
        self.by = by
        self.queues: set[str] = set()
        self._signatures: dict[str, Signature | None] = {}
        #: How the log is called.
        self.scripts = Scripts.of(settings)
        #: The way of large arguments and results into the archive.
        self.payloads = Payloads.of(settings)
        self.client = connect(self.url)
        self._intake = Intake(self.client, self.scripts, self.namespace, self.partitions)
        self._personal = PersonalData(settings, self._signatures)
        self._timing = Timing(settings)
        self._working = Working(
            settings,
            self.url,
            client=self.client,
            scripts=self.scripts,
            intake=self._intake,
            payloads=self.payloads,
        )
        self._submitting = Submitting(
            by=by,
            worker=lambda: self._working.dispatcher().by,
            partitions=self.partitions,
            keep_ms=settings.idempotency_ms,
            payloads=self.payloads,
            personal=self._personal,
            actors=self.actors,
            signatures=self._signatures,
        )
        self.fail_fast_default = fail_fast_default
        self._failures = Failures()

    # -- declarations ------------------------------------------------------------------------------

    def add_middleware(self, middleware: Middleware, **place: Any) -> None:
        """As any Dramatiq broker. A Results or TimeLimit takes the place of Triton's own."""
        give_way(self.middleware, self._own, middleware)
        super().add_middleware(middleware, **place)

    def declare_actor(self, actor: Actor[Any, Any]) -> None:
        """Raises ValidationError for a `retry` that is no policy, a `ttl` or `unique` that is none;
        ConfigurationError for a `personal` that is none."""
        name = actor.actor_name
        terms_of({}, actor.options, now=0)
        plain_options({"retry": actor.options.get("retry")})
        marks = declared_marks(actor.options, name)
        limits = self._timing.limits_of(actor)
        super().declare_actor(actor)
        if marks is not None:
            self._personal.mark(name, marks)
        self._timing.limit(name, limits)
        self._signatures[name] = signature_of(actor.fn)

    def declare_queue(self, queue_name: str) -> None:
        """As any Dramatiq broker: in memory only."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        return self.queues.copy()

    # -- submitting --------------------------------------------------------------------------------

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Submit a message as a job, `delay` milliseconds from now. Its id is the job's id.

        An id that is known already is the same job: nothing happens. In a worker, the message of the
        running job is its retry, and what middleware sends goes out together with the job's outcome.
        The message that is answered has the id of the job: another than the given one where the options
        `unique` or `idempotency_key` name a job.

        Raises ConnectionClosed when Redis does not answer, ValidationError for what cannot be a job,
        NotUniqueError, IdempotencyError and QueueClosedError for what the log refuses.
        """
        spans = tracing.active()
        if spans is None:
            return self._enqueue(message, delay)
        if is_retry(current_proxy.get(), message):
            spans.again(message)
            return self._enqueue(message, delay)
        with submitting(spans, [message]) as (traced,):
            return self._enqueue(traced, delay)

    def _enqueue(self, message: Message[Any], delay: int | None) -> Message[Any]:
        self.emit_before("enqueue", message, delay)
        proxy = current_proxy.get()
        if proxy is not None and follows(proxy, message):
            message = self._submitting.follow(proxy, message, delay)
        else:
            submission = self._submitting.submission(message, delay, proxy)
            answer = self._intake.submit([submission])[0]
            message = under(message, verdict_of(submission, answer).job)
        self.emit_after("enqueue", message, delay)
        return message

    def enqueue_many(
        self, messages: Sequence[Message[Any]], *, delay: int | None = None, mode: Mode = "all"
    ) -> list[Receipt]:
        """Submit many messages in few round trips; answers a receipt for each, in order.

        All are checked before the first is sent: in mode `all` one that cannot be a job raises
        ValidationError, which names each such message by its index, and none is submitted; in mode
        `partial` its receipt says why, and the others are submitted. What only the log can refuse (a unique
        key that is held, say) is in the receipts in both modes. Each chunk of CHUNK messages is one
        atomic step: after a ConnectionClosed the same call again submits what is missing.
        """
        proxy = current_proxy.get()
        spans = tracing.active()
        if spans is not None and messages and not (proxy is not None and proxy.after_actor):
            with submitting(spans, messages) as traced:
                return self._enqueue_many(traced, delay, mode, proxy)
        return self._enqueue_many(messages, delay, mode, proxy)

    def _enqueue_many(
        self,
        messages: Sequence[Message[Any]],
        delay: int | None,
        mode: Mode,
        proxy: JobProxy | None,
    ) -> list[Receipt]:
        if proxy is not None and proxy.after_actor:
            ids = [self.enqueue(message, delay=delay).message_id for message in messages]
            return [
                Receipt(index=index, id=job, status="accepted") for index, job in enumerate(ids)
            ]
        receipts: dict[int, Receipt] = {}
        submissions: dict[int, Submission] = {}
        for index, message in enumerate(messages):
            self.emit_before("enqueue", message, delay)
            try:
                submissions[index] = self._submitting.submission(message, delay, proxy)
            except (ValidationError, ErasedError) as error:
                receipts[index] = refused(index, error)
        if receipts and mode == "all":
            raise nothing_submitted(list(receipts.values()), len(messages))
        done = self._intake.submit(list(submissions.values()))
        for (index, submission), answer in zip(submissions.items(), done, strict=True):
            receipts[index] = receipt_of(index, submission, answer)
            self.emit_after("enqueue", messages[index], delay)
        return [receipts[index] for index in range(len(messages))]

    def open(self) -> None:
        """Create the log, or make sure that it is the one that the settings describe; the first submit and
        the first worker do so too.

        Raises ConfigurationError where it is not, ConnectionClosed or UnavailableError without an answer.
        """
        self._intake.open()

    # -- running -----------------------------------------------------------------------------------

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
        """A consumer of a declared queue. Triton holds no more jobs than the worker has threads."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        self._intake.open()
        its_actors = [name for name, a in self.actors.items() if a.queue_name == queue_name]
        signatures = {name: encode(self._signatures.get(name)) for name in its_actors}
        terms = {name: encode_declared(self.actors[name].options) for name in its_actors}
        self._intake.announce(queue_name, signatures, terms)
        dispatcher = self._working.for_consumer(prefetch)
        inbox = dispatcher.subscribe(queue_name, prefetch)
        return TritonConsumer(dispatcher, inbox, queue_name, timeout)

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        # The broker's own hooks, and not a middleware, so that places in the middleware list are no matter.
        if signal == "worker_boot":
            self._working.boot_worker(args[0].worker_threads)
        elif signal == "worker_shutdown":
            self._working.stop_claiming()
        elif signal == "nack" and self.fail_fast_default:
            self._failures.note(args[0])
        if signal != "process_message":
            hooked = self._hooked.of(self.middleware, "before_" + signal)
            if hooked and not _ended_elsewhere(args):
                super().emit_before(signal, *args, **kwargs)
            return
        proxy: JobProxy = args[0]
        current_proxy.set(proxy)
        self._timing.begin(proxy)
        proxy.resolve(self.payloads)
        self._personal.begin(proxy)
        super().emit_before(signal, *args, **kwargs)
        proxy.enter()

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        if _ended_elsewhere(args):
            return
        if signal == "process_message":
            proxy: JobProxy = args[0]
            proxy.leave(kwargs.get("result"), kwargs.get("exception"))
            self._timing.ran(proxy)
            if not proxy.ended_elsewhere:
                run_hooks(self, proxy, self._hooked.of(self.middleware, "after_process_message"))
            return
        if signal == "skip_message":
            args[0].leave(None, None)
            end_span(args[0])
        elif signal == "process_boot":
            self._working.boot_process()
        if self._hooked.of(self.middleware, "after_" + signal):
            super().emit_after(signal, *args, **kwargs)
        if signal in ("ack", "nack"):
            current_proxy.set(None)

    # -- looking -----------------------------------------------------------------------------------

    def prefix_of(self, job: str) -> str:
        """The key prefix of the partition that a job belongs to."""
        return self._intake.prefix_of(job)

    def count(self, queue_name: str) -> dict[str, int]:
        """How many jobs of a queue wait (`ready`), are scheduled (`due`) and run (`leases`)."""
        return self._intake.count(queue_name)

    def join(
        self,
        queue_name: str,
        *,
        interval: int = 20,
        timeout: int | None = None,
        fail_fast: bool | None = None,
    ) -> None:
        """Wait until nothing of a queue waits, is scheduled or runs; looks every `interval` ms.

        With `fail_fast` (default: the broker's `fail_fast_default`, and only useful with it) it raises
        what a job of the queue failed with in this process. Raises QueueJoinTimeout after `timeout`
        milliseconds, QueueNotFound for an unknown queue.
        """
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        while any(self.count(queue_name).values()):
            if deadline is not None and time.monotonic() >= deadline:
                raise QueueJoinTimeout(queue_name)
            time.sleep(interval / 1000)
        failure = self._failures.take(queue_name)
        if failure is not None and (self.fail_fast_default if fail_fast is None else fail_fast):
            raise failure from None

    def pause(self, queue_name: str, reason: str = "") -> bool:
        """Hand out no job of a queue, in any process, until `resume`; whether that is new.

        What runs goes on, and jobs are taken still. Leases, due times and times to live go on too.
        """
        return self._intake.hold(queue_name, "paused", self.by, reason)

    def drain(self, queue_name: str, reason: str = "") -> bool:
        """Take no new jobs into a queue until `resume`; whether that is new.

        What is there is run to its end, and so is what running jobs send. Everybody else's submit raises
        QueueClosedError.
        """
        return self._intake.hold(queue_name, "draining", self.by, reason)

    def resume(self, queue_name: str) -> bool:
        """End a pause or a drain; whether there was one."""
        return self._intake.hold(queue_name, "open", self.by, "")

    def flush(self, queue_name: str) -> None:
        """Cancel every job of a queue that has not started; each gets its event."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        self._failures.take(queue_name)
        self._intake.flush(queue_name, self.by)

    def flush_all(self) -> None:
        """The same of every declared queue."""
        for queue_name in self.get_declared_queues():
            self.flush(queue_name)

    def close(self) -> None:
        """Commit what is finished and end all connections."""
        self._working.stop()
        self._personal.close()
        self.client.close()

    # -- personal data -----------------------------------------------------------------------------

    def sealing(self) -> Sealing:
        """What seals and opens personal data; no key is asked for before the first value is."""
        return self._personal.sealing()

    def opened(self, job: str, value: Any, *, place: str = "result") -> Any:
        """A result (or a text of another place) without envelopes. Raises ErasedError, NotFoundError,
        UnavailableError, DecodeError."""
        return self._personal.opened(job, value, place)


def _ended_elsewhere(args: tuple[Any, ...]) -> bool:
    if not (JobProxy.any_given_up and args):
        return False
    return isinstance(args[0], JobProxy) and args[0].ended_elsewhere
