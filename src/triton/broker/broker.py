"""Owns the Dramatiq broker: plain messages in, jobs with a history out.

Setting a TritonBroker as the broker is the only change an existing Dramatiq application needs. There is no
connection, thread or id before the first use, so it may be created at import and forked.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from dramatiq import Actor, Message, Middleware
from dramatiq.broker import Broker, Consumer
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from dramatiq.middleware import TimeLimit, default_middleware
from dramatiq.results import Results
from dramatiq.threading import is_gevent_active
from redis.backoff import NoBackoff
from redis.retry import Retry

from triton.archive import ArchiveStore, open_archive
from triton.broker.consumer import TritonConsumer
from triton.broker.context import current_proxy
from triton.broker.dispatcher import Dispatcher
from triton.broker.hooks import end_span, follows, is_named, run_hooks
from triton.broker.intake import Intake
from triton.broker.limits import TimeLimits
from triton.broker.prepare import Sender, prepared
from triton.broker.proxy import JobProxy
from triton.broker.pulse import IDLE_BLOCK, beat_interval
from triton.broker.results import TritonResultBackend
from triton.broker.traced import is_retry, submitting
from triton.bulk import Mode, Receipt, nothing_submitted, receipt_of, refused
from triton.erasure.marks import Marks, declared_marks
from triton.erasure.personal import Personal, may_be_sealed
from triton.errors import ErasedError, ValidationError
from triton.events.client import connect
from triton.events.scripts import Scripts, Submission
from triton.keeper.holds import Holds
from triton.keeper.parent import Charge, Keeper
from triton.observe import tracing
from triton.observe.slow import Jobs, Limits, limits_of
from triton.payloads import Payloads
from triton.retry import plain_options
from triton.settings import Settings, load
from triton.signature import Signature, check_call, encode, signature_of
from triton.submit import child_id
from triton.terms import ACTOR_OPTIONS, encode_declared, terms_of
from triton.verdict import verdict_of

if TYPE_CHECKING:
    from triton.erasure.messages import Declared, Sealing


class TritonBroker(Broker):
    """A Dramatiq broker on Triton's log.

    What is not given comes from the settings, so from the variables TRITON_REDIS_URL, TRITON_NAMESPACE and
    so on. Parameters:
      url: redis://, rediss:// or unix:// URL; without any it is redis://127.0.0.1:6379/0.
      middleware: as for any Dramatiq broker; None takes Dramatiq's default list, and results that are
        read from the log's heads (a Results middleware that is added later takes their place).
      namespace: prefix of every key. partitions: must be what the log was created with.
      lease_ms: milliseconds without a heartbeat after which a worker counts as dead.
      max_deaths: leases a job may lose before it ends as failed.
      completed_ttl_ms, failed_ttl_ms: how long the heads of ended jobs stay in Redis; within it the
        same message id is the same job.
      idempotency_ms: how long after its end a job answers to its idempotency key, at least.
      by: who submits, where it is no actor: `system`, or `user:NAME`, `key:ID`.
      fail_fast_default: for tests: `join` raises what a job failed with that ran in this process, as
        Dramatiq's StubBroker does. It keeps the first exception of each queue until `join` or `flush`.
      subject_keys: file:///folder or postgresql:// URL of the keys that personal data is sealed with.
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
        settings = load(subject_keys=subject_keys)
        self._settings = settings
        self._signatures: dict[str, Signature | None] = {}
        #: Of actors that take or say personal data.
        self._marked: dict[str, Marks] = {}
        self._sealing: Sealing | None = None
        own = _default_middleware(settings) if middleware is None else []
        #: Of Triton's default list: gives way to one of its kind that is added later.
        self._own = own
        super().__init__(middleware=own if middleware is None else middleware)
        # Dramatiq's decorator takes it of an actor beside the options that middleware knows.
        self.actor_options |= {"retry", "personal", "slow_run_ms", "slow_wait_ms", *ACTOR_OPTIONS}
        self._slow_jobs = Jobs()
        self._slow = limits_of({}, settings.slow_run_ms, settings.slow_wait_ms)
        #: Of each actor; those of others are the settings'.
        self._slow_actors: dict[str, Limits] = {}
        if middleware is None:
            # Every result is kept, so nobody is warned that one was discarded.
            own_results = Results(backend=TritonResultBackend(self), store_results=True)
            self.add_middleware(own_results)
            own.append(own_results)
        self.url = url or settings.redis_url or "redis://127.0.0.1:6379/0"
        self.queues: set[str] = set()
        self.namespace = settings.namespace if namespace is None else namespace
        self.partitions = settings.partitions if partitions is None else partitions
        self.by = by
        self._idempotency_ms = idempotency_ms or settings.idempotency_ms
        self._lease_ms = settings.lease_ms if lease_ms is None else lease_ms
        self._max_deaths = settings.max_deaths if max_deaths is None else max_deaths
        self._completed_ttl_ms = completed_ttl_ms or settings.completed_ttl_ms
        self._failed_ttl_ms = failed_ttl_ms or settings.failed_ttl_ms
        self._scripts = Scripts(
            completed_ttl_ms=self._completed_ttl_ms, failed_ttl_ms=self._failed_ttl_ms
        )
        #: The way of large arguments and results into the archive.
        self.payloads = Payloads(_archive_of(settings), inline=settings.inline_bytes)
        self.client = connect(self.url)
        self._intake = Intake(self.client, self._scripts, self.namespace, self.partitions)
        self._lock = threading.Lock()
        self._dispatcher: Dispatcher | None = None
        self._threads: int | None = None
        #: Whether this is a process of the `dramatiq` command.
        self._booted = False
        self.fail_fast_default = fail_fast_default
        self._failures: dict[str, BaseException] = {}

    # -- declarations ------------------------------------------------------------------------------

    def add_middleware(self, middleware: Middleware, **place: Any) -> None:
        for kind in (Results, TimeLimit):
            for own in self._own:
                if (
                    isinstance(middleware, kind)
                    and isinstance(own, kind)
                    and own in self.middleware
                ):
                    self.middleware.remove(own)
        super().add_middleware(middleware, **place)

    def declare_actor(self, actor: Actor[Any, Any]) -> None:
        """Raises ValidationError for a `retry` that is no policy, a `ttl` or `unique` that is none;
        ConfigurationError for a `personal` that is none."""
        terms_of({}, actor.options, now=0)
        plain_options({"retry": actor.options.get("retry")})
        marks = declared_marks(actor.options, actor.actor_name)
        slow = self._limits_of(actor)
        super().declare_actor(actor)
        if marks is not None:
            self._marked[actor.actor_name] = marks
        self._slow_actors[actor.actor_name] = slow
        self._signatures[actor.actor_name] = signature_of(actor.fn)

    def _limits_of(self, actor: Actor[Any, Any]) -> Limits:
        settings = self._settings
        try:
            return limits_of(actor.options, settings.slow_run_ms, settings.slow_wait_ms)
        except ValueError as error:
            raise ValidationError(f"the actor {actor.actor_name}: {error}") from error

    def declare_queue(self, queue_name: str) -> None:
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
            message = self._follow(proxy, message, delay)
        else:
            submission = self._submission(message, delay, proxy)
            message = _under(
                message, verdict_of(submission, self._intake.submit([submission])[0]).job
            )
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
                submissions[index] = self._submission(message, delay, proxy)
            except (ValidationError, ErasedError) as error:
                receipts[index] = refused(index, error)
        if receipts and mode == "all":
            raise nothing_submitted(list(receipts.values()), len(messages))
        done = self._intake.submit(list(submissions.values()))
        for (index, submission), answer in zip(submissions.items(), done, strict=True):
            receipts[index] = receipt_of(index, submission, answer)
            self.emit_after("enqueue", messages[index], delay)
        return [receipts[index] for index in range(len(messages))]

    def _follow(self, proxy: JobProxy, message: Message[Any], delay: int | None) -> Message[Any]:
        if proxy.silent:
            return message
        if message.message_id == proxy.claimed.job:
            proxy.retry = (message, delay or 0)
            return message
        if self.partitions > 1 and not is_named(proxy.options, message.message_id):
            # Not one atomic step across partitions: an id derived from the outcome makes a repeat known.
            retries = int(proxy.options.get("retries", 0))
            derived = child_id(proxy.claimed.job, retries, proxy.followed)
            message = message.copy(message_id=derived)
        proxy.followed += 1
        try:
            submission = self._submission(message, delay, proxy)
        except ValidationError as error:
            # Hooks raise into Dramatiq's log only, where nobody would see what never followed.
            proxy.unsent = proxy.unsent or error
            raise
        if self.prefix_of(submission.job) == self.prefix_of(proxy.claimed.job):
            proxy.outbox.append(submission)
        else:
            # A job that is run again may repeat it long after it ended.
            kept = msgspec.structs.replace(submission, keep_ms=self._idempotency_ms)
            proxy.apart.append(kept)
        return _under(message, submission.job)

    def _submission(
        self, message: Message[Any], delay: int | None, proxy: JobProxy | None
    ) -> Submission:
        sender = Sender(
            by=self.by if proxy is None else self._get_dispatcher().by,
            partitions=self.partitions,
            keep_ms=self._idempotency_ms,
            most=self.payloads.most,
            parent=proxy,
            sealing=self._sealing_for(message),
        )
        actor = self.actors.get(message.actor_name)
        signature = self._signatures.get(message.actor_name)
        # What follows from an outcome is not refused: it becomes a job, whose failure everybody sees.
        if signature is not None and not (proxy is not None and proxy.after_actor):
            check_call(signature, message.actor_name, message.args, message.kwargs)
        now = time.time_ns() // 1000
        return self.payloads.shrink(prepared(message, sender, actor=actor, delay=delay, now=now))

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
        dispatcher = self._get_dispatcher()
        dispatcher.threads = self._threads or prefetch
        inbox = dispatcher.subscribe(queue_name, prefetch)
        return TritonConsumer(dispatcher, inbox, queue_name, timeout)

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        # The broker's own hooks, and not a middleware, so that places in the middleware list are no matter.
        if signal == "worker_boot":
            self._threads = args[0].worker_threads
        elif signal == "worker_shutdown" and self._dispatcher is not None:
            self._dispatcher.stop_claiming()
        elif signal == "nack" and self.fail_fast_default:
            refused: JobProxy = args[0]
            error = refused.failure or RuntimeError("the message was marked as failed")
            self._failures.setdefault(refused.queue_name, error)
        if signal != "process_message":
            if not _ended_elsewhere(args):
                super().emit_before(signal, *args, **kwargs)
            return
        proxy: JobProxy = args[0]
        current_proxy.set(proxy)
        self._begin(proxy)
        proxy.resolve(self.payloads)
        if "sealed" in proxy.options or proxy.actor_name in self._marked:
            self._open(proxy)
        super().emit_before(signal, *args, **kwargs)
        proxy.enter()

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        if _ended_elsewhere(args):
            return
        if signal == "process_message":
            proxy: JobProxy = args[0]
            proxy.leave(kwargs.get("result"), kwargs.get("exception"))
            self._ran(proxy)
            if not proxy.ended_elsewhere:
                run_hooks(self, proxy)
            return
        if signal == "skip_message":
            args[0].leave(None, None)
            end_span(args[0])
        elif signal == "process_boot":
            self._booted = True
        super().emit_after(signal, *args, **kwargs)
        if signal in ("ack", "nack"):
            current_proxy.set(None)

    def _begin(self, proxy: JobProxy) -> None:
        limits = self._slow_actors.get(proxy.actor_name, self._slow)
        proxy.begun = time.monotonic()
        if proxy.claimed.waited >= limits.wait:
            self._slow_jobs.waited(
                proxy.actor_name, proxy.queue_name, proxy.claimed.waited, limits.wait
            )
        spans = tracing.active()
        if spans is not None:
            proxy.traced = spans.begin(proxy)

    def _ran(self, proxy: JobProxy) -> None:
        limit = self._slow_actors.get(proxy.actor_name, self._slow).run
        took = time.monotonic() - proxy.begun
        if took >= limit and proxy.begun:
            self._slow_jobs.ran(took, limit)

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
        failure = self._failures.pop(queue_name, None)
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
        self._failures.pop(queue_name, None)
        self._intake.flush(queue_name, self.by)

    def flush_all(self) -> None:
        for queue_name in self.get_declared_queues():
            self.flush(queue_name)

    def close(self) -> None:
        """Commit what is finished and end all connections."""
        with self._lock:
            dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.stop()
        if self._sealing is not None:
            self._sealing.close()
        self.client.close()

    # -- personal data -----------------------------------------------------------------------------

    def sealing(self) -> Sealing:
        """What seals and opens personal data; no key is asked for before the first value is."""
        with self._lock:
            if self._sealing is None:
                from triton.erasure.keyring import keyring_of
                from triton.erasure.messages import Sealing

                self._sealing = Sealing(keyring_of(self._settings), self._declared)
            return self._sealing

    def opened(self, job: str, value: Any, *, place: str = "result") -> Any:
        """A result (or a text of another place) without envelopes. Raises ErasedError, NotFoundError,
        UnavailableError, DecodeError."""
        from triton.erasure.reading import Reader

        if not may_be_sealed(value):
            return value
        return Reader(self.sealing().keyring).at(job, value, place)

    def _sealing_for(self, message: Message[Any]) -> Sealing | None:
        if self._marked or Personal.any_made or "sealed" in message.options:
            return self.sealing()
        return None

    def _declared(self, actor: str) -> Declared:
        from triton.erasure.messages import Declared

        return Declared(self._marked.get(actor), self._signatures.get(actor))

    def _open(self, proxy: JobProxy) -> None:
        """Give the actor the plain values, and the attempt the key that its own words are sealed with.

        Raises ErasedError, NotFoundError, UnavailableError, DecodeError: the attempt fails.
        """
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

    # -- at first use ------------------------------------------------------------------------------

    def _get_dispatcher(self) -> Dispatcher:
        with self._lock:
            if self._dispatcher is None or self._dispatcher.pid != os.getpid():
                self._dispatcher = Dispatcher(
                    client=self.client,
                    bell_client=connect(
                        self.url, retry=Retry(NoBackoff(), 0), socket_timeout=IDLE_BLOCK + 5
                    ),
                    scripts=self._scripts,
                    prefixes=self._intake.prefixes,
                    prefix_of=self.prefix_of,
                    lease_ms=self._lease_ms,
                    max_deaths=self._max_deaths,
                    keep=self.payloads.keep,
                    keeper=self._keeper,
                    by_command=self._booted,
                )
            return self._dispatcher

    def _keeper(self, holds: Holds, worker: str) -> Keeper:
        charge = Charge(
            parent=os.getpid(),
            fd=holds.fd,
            url=self.url,
            namespace=self.namespace,
            partitions=self.partitions,
            worker=worker,
            lease_ms=self._lease_ms,
            completed_ttl_ms=self._completed_ttl_ms,
            failed_ttl_ms=self._failed_ttl_ms,
            interval=beat_interval(self._lease_ms),
        )
        return Keeper(holds, charge)


def _default_middleware(settings: Settings) -> list[Middleware]:
    """Dramatiq's default list, with Triton's time limits in place of its TimeLimit."""
    limits = TimeLimits(
        time_limit=settings.time_limit_ms,
        soft_time_limit=settings.soft_time_limit_ms,
        grace=settings.time_limit_grace_ms,
    )
    return [
        limits if kind is TimeLimit and not is_gevent_active() else kind()
        for kind in default_middleware
    ]


def _archive_of(settings: Settings) -> Callable[[], ArchiveStore] | None:
    return partial(open_archive, settings.archive_url) if settings.archive_url else None


def _ended_elsewhere(args: tuple[Any, ...]) -> bool:
    if not (JobProxy.any_given_up and args):
        return False
    return isinstance(args[0], JobProxy) and args[0].ended_elsewhere


def _under(message: Message[Any], job: str) -> Message[Any]:
    """The message under the id of the job that it became."""
    if job == message.message_id:
        return message
    return (message.message if isinstance(message, JobProxy) else message)._replace(message_id=job)
