"""Owns the Dramatiq broker: plain messages in, jobs with a history out.

Setting a TritonBroker as the broker is the only change an existing Dramatiq application needs. There is no
connection, thread or id before the first use, so it may be created at import and forked.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from dramatiq import Message, Middleware
from dramatiq.broker import Broker, Consumer
from dramatiq.errors import ConnectionClosed, QueueJoinTimeout, QueueNotFound
from dramatiq.results import Results
from dramatiq.threading import Interrupt
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from triton import keys
from triton.broker.consumer import TritonConsumer
from triton.broker.context import Snooze, current_proxy
from triton.broker.dispatcher import Dispatcher
from triton.broker.proxy import JobProxy
from triton.broker.pulse import IDLE_BLOCK
from triton.broker.results import TritonResultBackend
from triton.broker.trip import grouped
from triton.errors import UnavailableError, ValidationError
from triton.events.client import connect, send
from triton.events.log import checked_epochs
from triton.events.scripts import Scripts, Submission, answers
from triton.settings import load
from triton.submit import child_id, submission_of

#: Jobs read from a queue at once when it is flushed.
_FLUSH_PAGE = 200


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
      by: who submits, where it is no actor: `system`, or `user:NAME`, `key:ID`.
      fail_fast_default: for tests: `join` raises what a job failed with that ran in this process, as
        Dramatiq's StubBroker does. It keeps the first exception of each queue until `join` or `flush`.
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
        by: str = "system",
        fail_fast_default: bool = False,
    ) -> None:
        self._own_results: Results | None = None
        super().__init__(middleware=middleware)
        if middleware is None:
            # Every result is kept, so nobody is warned that one was discarded.
            own_results = Results(backend=TritonResultBackend(self), store_results=True)
            self.add_middleware(own_results)
            self._own_results = own_results
        settings = load()
        self.url = url or settings.redis_url or "redis://127.0.0.1:6379/0"
        self.queues: set[str] = set()
        self.namespace = settings.namespace if namespace is None else namespace
        self.partitions = settings.partitions if partitions is None else partitions
        self.by = by
        self._lease_ms = settings.lease_ms if lease_ms is None else lease_ms
        self._max_deaths = settings.max_deaths if max_deaths is None else max_deaths
        self._scripts = Scripts(
            completed_ttl_ms=completed_ttl_ms or settings.completed_ttl_ms,
            failed_ttl_ms=failed_ttl_ms or settings.failed_ttl_ms,
        )
        self._prefixes = [
            keys.prefix(self.namespace, partition) for partition in range(self.partitions)
        ]
        self.client = connect(self.url)
        self._lock = threading.Lock()
        self._opened_by: int | None = None
        self._dispatcher: Dispatcher | None = None
        self._threads: int | None = None
        self.fail_fast_default = fail_fast_default
        self._failures: dict[str, BaseException] = {}

    # -- declarations ------------------------------------------------------------------------------

    def add_middleware(self, middleware: Middleware, **place: Any) -> None:
        if isinstance(middleware, Results) and self._own_results in self.middleware:
            self.middleware.remove(self._own_results)
        super().add_middleware(middleware, **place)

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

        Raises ConnectionClosed when Redis does not answer, ValidationError for what cannot be a job.
        """
        self.emit_before("enqueue", message, delay)
        proxy = current_proxy.get()
        if proxy is not None and self._follows(proxy, message):
            message = self._follow(proxy, message, delay)
        else:
            self._submit([self._submission(message, delay, proxy)])
        self.emit_after("enqueue", message, delay)
        return message

    def enqueue_many(
        self, messages: Sequence[Message[Any]], *, delay: int | None = None
    ) -> list[str]:
        """Submit many messages in few round trips. Answers `ok` or `exists` for each."""
        proxy = current_proxy.get()
        for message in messages:
            self.emit_before("enqueue", message, delay)
        done = self._submit([self._submission(message, delay, proxy) for message in messages])
        for message in messages:
            self.emit_after("enqueue", message, delay)
        return done

    def _follows(self, proxy: JobProxy, message: Message[Any]) -> bool:
        """Whether a message is a part of the outcome of the job that the caller runs."""
        if proxy.packed:
            return False
        return proxy.after_actor or message.message_id == proxy.claimed.job

    def _follow(self, proxy: JobProxy, message: Message[Any], delay: int | None) -> Message[Any]:
        if proxy.silent:
            return message
        if message.message_id == proxy.claimed.job:
            proxy.retry = (message, delay or 0)
            return message
        if self.partitions > 1 and not _is_named(proxy.options, message.message_id):
            # Not one atomic step across partitions: an id derived from the outcome makes a repeat known.
            retries = int(proxy.options.get("retries", 0))
            derived = child_id(proxy.claimed.job, retries, proxy.followed)
            message = message.copy(message_id=derived)
        proxy.followed += 1
        submission = self._submission(message, delay, proxy)
        if self.prefix_of(message.message_id) == self.prefix_of(proxy.claimed.job):
            proxy.outbox.append(submission)
        else:
            self._submit([submission])
        return message

    def _submission(
        self, message: Message[Any], delay: int | None, proxy: JobProxy | None
    ) -> Submission:
        if delay is not None and delay < 0:
            raise ValidationError(
                f"delay is {delay}, expected milliseconds from now, 0 or more",
                fields=[{"field": "delay", "message": "expected 0 or more"}],
            )
        if isinstance(message, JobProxy):
            message = message.message
        due = 0
        if "eta" in message.options:
            # A message that another broker delayed. Left there, a worker would wait for it in its memory.
            message = message.copy()
            eta = message.options.pop("eta")
            due = int(eta * 1000) if isinstance(eta, int | float) and not delay else 0
        actor = self.actors.get(message.actor_name)
        priority = actor.priority if actor is not None else 0
        delay_us = int((delay or 0) * 1000)
        if proxy is None:
            return submission_of(message, by=self.by, due=due, delay=delay_us, priority=priority)
        parent = proxy.claimed
        return submission_of(
            message,
            by=self._get_dispatcher().by,
            due=due,
            delay=delay_us,
            priority=priority,
            tenant=parent.tenant,
            causation=f"job:{parent.job}",
            correlation=parent.correlation or parent.job,
            traceparent=parent.traceparent,
        )

    def _submit(self, submissions: Sequence[Submission]) -> list[str]:
        self._open()
        chunks = list(
            grouped(range(len(submissions)), lambda i: self.prefix_of(submissions[i].job))
        )
        calls = [
            self._scripts.submit(prefix, [submissions[i] for i in chunk])
            for prefix, chunk in chunks
        ]
        done = [""] * len(submissions)
        with self.answering():
            try:
                replies = send(self.client, calls)
            except ResponseError as error:
                if not str(error).startswith("TRITON_NO_LOG"):
                    raise
                # The server was emptied: begin a new log, as the next process would. Readers notice.
                self.logger.critical("%s: it is created anew", error)
                self._opened_by = None
                self._open()
                replies = send(self.client, calls)
        for (_, chunk), reply in zip(chunks, replies, strict=True):
            for index, answer in zip(chunk, answers(reply), strict=True):
                done[index] = answer
        return done

    # -- running -----------------------------------------------------------------------------------

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
        """A consumer of a declared queue. Triton holds no more jobs than the worker has threads."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        self._open()
        self._announce(queue_name)
        dispatcher = self._get_dispatcher()
        dispatcher.threads = self._threads or prefetch
        inbox = dispatcher.subscribe(queue_name, prefetch)
        return TritonConsumer(dispatcher, inbox, queue_name, timeout)

    def _announce(self, queue_name: str) -> None:
        """Say beside the log which actors' jobs belong into this queue, for who submits by name only."""
        names = [name for name, actor in self.actors.items() if actor.queue_name == queue_name]
        if names:
            try:
                self.client.hset(
                    keys.actors(self._prefixes[0]), mapping=dict.fromkeys(names, queue_name)
                )
            except RedisError as error:
                raise ConnectionClosed(error) from None

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
            super().emit_before(signal, *args, **kwargs)
            return
        proxy: JobProxy = args[0]
        current_proxy.set(proxy)
        super().emit_before(signal, *args, **kwargs)
        proxy.enter()

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        if signal == "process_message":
            proxy: JobProxy = args[0]
            proxy.leave(kwargs.get("result"), kwargs.get("exception"))
            while not proxy.settled:
                # An interrupt (a time limit, say) comes too late now. The hook that it stopped begins anew.
                with suppress(Interrupt):
                    self._run_hooks(proxy)
            return
        if signal == "skip_message":
            args[0].leave(None, None)
        super().emit_after(signal, *args, **kwargs)
        if signal in ("ack", "nack"):
            current_proxy.set(None)

    def _run_hooks(self, proxy: JobProxy) -> None:
        """Run each middleware's hook to its end, once, with what the actor did."""
        if proxy.hooks is None:
            proxy.hooks = list(self.middleware)
        outcome: dict[str, Any] = (
            {"result": proxy.result} if proxy.exception is None else {"exception": proxy.exception}
        )
        while proxy.hooks:
            middleware = proxy.hooks[-1]
            before = len(proxy.outbox), proxy.followed, proxy.retry
            try:
                middleware.after_process_message(self, proxy, **outcome)
            except Interrupt:
                proxy.go_back(*before)
                raise
            except Exception:
                self.logger.critical(
                    "Unexpected failure in after_process_message of %r.", middleware, exc_info=True
                )
            proxy.hooks.pop()
        if isinstance(proxy.exception, Snooze):
            # Whatever the retry policy made of it: a snooze is no failure.
            proxy.failed = False
        proxy.settled = True

    # -- looking -----------------------------------------------------------------------------------

    def prefix_of(self, job: str) -> str:
        """The key prefix of the partition that a job belongs to."""
        return self._prefixes[keys.partition_of(job, self.partitions)]

    def count(self, queue_name: str) -> dict[str, int]:
        """How many jobs of a queue wait (`ready`), are scheduled (`due`) and run (`leases`)."""
        kinds = (keys.ready, keys.due, keys.leases)
        # In one step: a job that moves on between two counts would be seen in neither.
        with self.answering(), self.client.pipeline(transaction=True) as pipe:
            for prefix in self._prefixes:
                for kind in kinds:
                    pipe.zcard(kind(prefix, queue_name))
            counts = pipe.execute()
        return {kind.__name__: sum(counts[i :: len(kinds)]) for i, kind in enumerate(kinds)}

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

    def flush(self, queue_name: str) -> None:
        """Cancel every job of a queue that has not started; each gets its event."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        self._failures.pop(queue_name, None)
        self._open()
        for prefix in self._prefixes:
            for key in (keys.ready(prefix, queue_name), keys.due(prefix, queue_name)):
                self._flush(prefix, key)

    def _flush(self, prefix: str, key: str) -> None:
        while True:
            with self.answering():
                found = cast("list[bytes]", self.client.zrange(key, 0, _FLUSH_PAGE - 1))
                if not found:
                    return
                jobs = [job.decode() for job in found]
                op = f"flush-{secrets.token_hex(8)}"
                call = self._scripts.cancel(prefix, jobs, op=op, by=self.by, reason="flushed")
                (reply,) = send(self.client, [call])
                # A name without a waiting job behind it stands for nothing.
                stray = [job for job, a in zip(jobs, reply, strict=True) if a != b"cancelled"]
                if stray:
                    self.client.zrem(key, *stray)

    def flush_all(self) -> None:
        for queue_name in self.queues:
            self.flush(queue_name)

    def close(self) -> None:
        """Commit what is finished and end all connections."""
        with self._lock:
            dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.stop()
        self.client.close()

    # -- at first use ------------------------------------------------------------------------------

    def _open(self) -> None:
        """Create the log, or make sure that it fits. Once per process."""
        if self._opened_by == os.getpid():
            return
        epoch = secrets.token_hex(8)
        calls = [self._scripts.open(prefix, epoch, self.partitions) for prefix in self._prefixes]
        with self.answering():
            replies = send(self.client, calls)
        checked_epochs(self.namespace, self.partitions, replies)
        self._opened_by = os.getpid()

    def _get_dispatcher(self) -> Dispatcher:
        with self._lock:
            if self._dispatcher is None or self._dispatcher.pid != os.getpid():
                self._dispatcher = Dispatcher(
                    client=self.client,
                    bell_client=connect(
                        self.url, retry=Retry(NoBackoff(), 0), socket_timeout=IDLE_BLOCK + 5
                    ),
                    scripts=self._scripts,
                    prefixes=self._prefixes,
                    prefix_of=self.prefix_of,
                    lease_ms=self._lease_ms,
                    max_deaths=self._max_deaths,
                )
            return self._dispatcher

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn Redis's errors into ConnectionClosed and UnavailableError."""
        try:
            yield
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise ConnectionClosed(f"Redis does not answer: {error}; is it running?") from None
        except RedisError as error:
            raise UnavailableError(f"Redis refused a call: {error}") from error


def _is_named(options: Mapping[str, Any], message_id: str) -> bool:
    """Whether a job's options hold the message of this id, so that a repeat would send the same id."""
    named = [options.get("pipe_target"), *(options.get("group_completion_callbacks") or ())]
    return any(isinstance(each, dict) and each.get("message_id") == message_id for each in named)
