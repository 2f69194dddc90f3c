"""Owns what the requests of one process share, and the order in which it is opened and closed."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import httpx
import msgspec
import psycopg
import redis.asyncio
import redis.asyncio.cluster
from fastapi import Request
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from triton import ending
from triton.api.job_reader import JobReader
from triton.api.metrics.job_figures import JobFigures
from triton.api.queues import QueueList, queue_views
from triton.api.request_id import current_request
from triton.api.whose import narrowed
from triton.archive import ArchiveStore, open_archive
from triton.domain.connection import platform_connection, reading_connection, step_down
from triton.erasure.keyring import Keyring, keyring_of
from triton.errors import ConfigurationError, UnavailableError, no_answer
from triton.events.client import connect_async, connect_short
from triton.events.log import Log
from triton.events.render import one_line
from triton.events.scripts import Scripts
from triton.feed.admission import Admission, Limits
from triton.feed.contract import Timing
from triton.feed.counters import Counters
from triton.feed.cursor import Signer
from triton.feed.framer import Framer
from triton.feed.gzipped import Blocks
from triton.feed.history import History
from triton.feed.hub import Hub
from triton.feed.job_stream import JobFeed
from triton.feed.many_stream import ManyFeed
from triton.feed.secret import signing_key
from triton.history import History as Whole
from triton.history import Past
from triton.history.index import Index
from triton.identity.noting import Note, noting
from triton.identity.opening import (
    Accounts,
    access_tokens,
    accounts_of,
    first_token_key,
    stream_keys,
)
from triton.identity.standing import Standing
from triton.identity.token_keys import TokenKeys
from triton.identity.verifying import Verifier
from triton.observe.cursors import AsyncCursor
from triton.payloads import Payloads
from triton.quotas.gate import Gate
from triton.quotas.limits import LimitBook
from triton.settings import Settings

#: Connections to PostgreSQL of one API process.
POOL: Final = 10
#: Connections to Redis, and seconds that a request waits for one.
REDIS_POOL: Final = 32
REDIS_WAIT: Final = 5.0
#: Seconds that a request waits for one answer, and for which it asks more than twice. Where Redis hangs that
#: makes less than 10 s: a try, and two of a new connection.
REDIS_ANSWER: Final = 3.0
REDIS_SECONDS: Final = 5.0
#: Seconds that a reader of the past waits for a connection to PostgreSQL: the archive knows the same.
PAST_WAIT: Final = 1.0

Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]


class FeedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and times of the feed: the defaults are for production."""

    ring_capacity: int = 8192
    ring_bytes: int = 32 * 1024 * 1024
    #: None: as the settings say.
    max_streams: int | None = None
    timing: Timing = Timing()


class Services(msgspec.Struct, frozen=True):
    """What a request may use, whatever its route."""

    settings: Settings
    redis: redis.asyncio.Redis
    scripts: Scripts
    pool: Pool
    archive: ArchiveStore
    payloads: Payloads
    #: Opened when the first job with personal data is submitted.
    keyring: Keyring
    http: httpx.AsyncClient
    hub: Hub
    #: What went by in the log, counted.
    figures: JobFigures
    #: The log of a partition as it was last opened, with its past.
    log: Callable[[int], Whole]
    history: History
    jobs: JobReader
    feed: JobFeed
    many: ManyFeed
    counters: Counters
    framer: Framer
    admission: Admission
    #: What compressed streams share.
    blocks: Blocks
    #: The keys of access tokens, as stream tokens use them: those may live longer.
    stream_keys: TokenKeys
    verifier: Verifier
    #: Whether what let open streams in still counts.
    standing: Standing
    #: What each tenant may use, and what lets its jobs in.
    limits: LimitBook
    gate: Gate
    accounts: Accounts
    #: What readiness last told the log of each dependency.
    said: dict[str, str] = {}


async def services_of(request: Request) -> Services:
    """What FastAPI hands to a route as `Depends(services_of)`. (A plain function would run in a thread.)"""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


@asynccontextmanager
async def open_services(settings: Settings, options: FeedOptions) -> AsyncIterator[Services]:
    """Everything open; closed in reverse. PostgreSQL and ClickHouse may come later.

    Raises ConfigurationError for a URL that is missing or malformed, UnavailableError and LogError where
    the log cannot be followed.
    """
    check(settings)
    async with AsyncExitStack() as stack:
        client = patient(
            connect_short(settings.redis_url, timeout=REDIS_ANSWER, seconds=REDIS_SECONDS)
        )
        stack.push_async_callback(client.aclose)
        # The tails want to see every lost connection (see triton.feed.tail), so this one does not retry.
        watcher = patient(
            connect_async(settings.redis_url, retry=Retry(NoBackoff(), 0)), settings.partitions
        )
        stack.push_async_callback(watcher.aclose)
        pool = pool_of(settings)
        stack.push_async_callback(pool.close)
        await pool.open(wait=False)
        tokens = access_tokens(settings)
        fresh = settings.access_cache_ms / 1000
        verifier = Verifier(pool, tokens, fresh=fresh)
        standing = Standing(client, settings.namespace, verifier, every=fresh)
        for beside in (verifier.run(), standing.run()):
            stack.push_async_callback(ended, asyncio.create_task(beside))
        archive = open_archive(settings.archive_url)
        keyring = keyring_of(settings)
        stack.callback(keyring.close)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=2.0))
        scripts = Scripts.of(settings)

        async def open_log() -> Log:
            return await Log.open(
                watcher, scripts, settings.namespace, settings.partitions, uuid.uuid4().hex
            )

        await open_log()
        note = noting(client, scripts, settings.namespace, request=current_request)
        signer = await _signer(client, settings, note)
        framer = Framer(signer, f"/triton/{settings.namespace}")
        figures = JobFigures()
        hub = Hub(
            open_log,
            framer,
            ring_capacity=options.ring_capacity,
            ring_bytes=options.ring_bytes,
            max_streams=options.max_streams or settings.streams,
            on_entries=figures.see,
        )
        stack.push_async_callback(hub.stop)
        await hub.start()
        figures.forget()
        past = Past(lambda: archive, index_over(pool))

        def log(partition: int) -> Whole:
            return Whole.over(hub.log(partition), past)

        history = History(log, framer.source)
        jobs = JobReader(client, settings.namespace, settings.partitions, pool, log)

        async def queues() -> bytes:
            return one_line(QueueList(queues=await queue_views(client, settings)))

        yield Services(
            settings=settings,
            redis=client,
            scripts=scripts,
            pool=pool,
            archive=archive,
            keyring=keyring,
            payloads=Payloads(lambda: archive, inline=settings.inline_bytes),
            http=http,
            hub=hub,
            figures=figures,
            log=log,
            history=history,
            jobs=jobs,
            feed=JobFeed(hub, history, jobs.snapshot, timing=options.timing),
            many=ManyFeed(hub, log, jobs.snapshots, timing=options.timing),
            counters=Counters(hub, queues, timing=options.timing),
            framer=framer,
            blocks=Blocks(),
            stream_keys=stream_keys(settings),
            admission=Admission(limits_of(settings)),
            verifier=verifier,
            standing=standing,
            limits=LimitBook(pool),
            gate=Gate(client, settings.namespace, settings.partitions),
            accounts=accounts_of(settings, pool, note, tokens, verifier),
        )


def pool_of(settings: Settings) -> Pool:
    """The connections to PostgreSQL of one process, not open yet."""
    return AsyncConnectionPool(
        settings.database_url,
        min_size=1,
        max_size=POOL,
        kwargs={"row_factory": dict_row, "autocommit": True, "cursor_factory": AsyncCursor},
        configure=step_down,
        open=False,
        name="api",
    )


async def _signer(client: redis.asyncio.Redis, settings: Settings, note: Note) -> Signer:
    """What signs cursors; the first key of access tokens is made too. Raises UnavailableError."""
    try:
        key = await signing_key(client, settings.namespace)
        if settings.auth != "off":
            await first_token_key(settings, note)
    except RedisError as error:
        raise UnavailableError(no_answer("Redis", error)) from error
    return Signer(key)


def limits_of(settings: Settings) -> Limits:
    """How many streams may be open."""
    return Limits(
        address=settings.streams_per_address,
        user=settings.streams_per_user,
        tenant=settings.streams_per_tenant,
    )


def index_over(pool: AsyncConnectionPool[Any]) -> Index:
    """The index of events, which shows to a tenant's request that tenant's rows."""
    return Index(
        lambda: platform_connection(pool, wait=PAST_WAIT),
        lambda: reading_connection(pool, narrowed(None), wait=PAST_WAIT),
    )


async def ended(task: asyncio.Task[None]) -> None:
    """Ends a task of ours. Raises what it raised before."""
    await ending.ended([task])
    with contextlib.suppress(asyncio.CancelledError):
        task.result()


def patient(client: redis.asyncio.Redis, held: int = 0) -> redis.asyncio.Redis:
    """The client with a pool in which a burst of requests waits for its turn instead of failing; `held`
    connections more, for who keeps one.

    A cluster's client is left as it is: it has a pool for each node, which grows as it must.
    """
    cluster: object = client
    if isinstance(cluster, redis.asyncio.cluster.RedisCluster):
        return client
    pool = client.connection_pool
    client.connection_pool = redis.asyncio.BlockingConnectionPool(
        max_connections=REDIS_POOL + held,
        timeout=REDIS_WAIT,
        connection_class=pool.connection_class,
        **pool.connection_kwargs,
    )
    return client


def check(settings: Settings) -> None:
    """Raises ConfigurationError naming the URL that is missing."""
    for name in ("redis_url", "database_url", "clickhouse_url", "archive_url"):
        if not getattr(settings, name):
            raise ConfigurationError(
                f"TRITON_{name.upper()} is not set, and the API starts no engines by itself: set it, or "
                "run `triton up`, which starts all of them",
                setting=name,
            )
