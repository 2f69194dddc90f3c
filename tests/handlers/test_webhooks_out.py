"""Webhooks that go out: from an event over a job to a signed request, and never to a private address."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dramatiq
import dramatiq.broker
import msgspec
import psycopg
import pytest
from dramatiq import Worker
from dramatiq.brokers.stub import StubBroker

from eventually import eventually
from triton import TritonBroker, keys
from triton.documents import resources
from triton.domain import secret_store
from triton.domain.connection import enter, entered
from triton.domain.key_ring import RingFile
from triton.errors import ForbiddenError, UnavailableError, ValidationError
from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.settings import Settings
from triton.stack.engines import Engines
from triton.webhooks import ACTOR, signing
from triton.webhooks.destination import destination_of, is_public
from triton.webhooks.feed import WebhookKeeper
from triton.webhooks.records import WebhookTargetWrite
from triton.webhooks.sending import send

SECRET = b"s" * 32
TENANT = "acme"


class Receiver:
    """A target on loopback: keeps what it is sent, and answers what `status` says."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.send_header("Location", receiver.url)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?a=1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def platform(
    engines: Engines, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """A migrated database and an archive, and what workers find in their environment."""
    settings = Settings(
        redis_url=engines.redis_url,
        database_url=database_url,
        archive_url=(tmp_path / "archive").as_uri(),
        tenant_keys=(tmp_path / "ring.json").as_uri(),
        namespace="t" + secrets.token_hex(5),
        webhook_private=True,
    )
    for name in ("database_url", "archive_url", "tenant_keys", "webhook_private"):
        monkeypatch.setenv(f"TRITON_{name.upper()}", str(getattr(settings, name)))
    resources.close()
    yield settings
    resources.close()


@pytest.fixture
def broker(platform: Settings) -> Iterator[TritonBroker]:
    """With the actor that delivers and one that is told of, and a worker."""
    if dramatiq.broker.global_broker is None:
        dramatiq.set_broker(StubBroker())
    from triton.handlers.webhooks import deliver

    broker = TritonBroker(url=platform.redis_url, namespace=platform.namespace)
    for actor, name, queue, options in (
        (deliver.fn, ACTOR, deliver.queue_name, deliver.options),
        (lambda: None, "noop", "work", {}),
    ):
        dramatiq.Actor(
            actor, broker=broker, actor_name=name, queue_name=queue, priority=0, options=options
        )
    worker = Worker(broker, worker_threads=2)
    worker.start()
    yield broker
    worker.stop()
    broker.close()


@contextmanager
def feeding(settings: Settings) -> Iterator[None]:
    """The reader of the log, in a thread."""
    ended = threading.Event()

    async def run() -> None:
        stop = asyncio.Event()
        async with connect_async(settings.redis_url) as client:
            log = await Log.open(client, Scripts(), settings.namespace, 1, secrets.token_hex(8))
            keeper = asyncio.create_task(
                WebhookKeeper(log, client, settings, 0, idle=0.05).run(stop)
            )
            await asyncio.to_thread(ended.wait)
            stop.set()
            await keeper

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(20)


def add_target(settings: Settings, url: str, tenant: str = TENANT, **more: Any) -> str:
    target = uuid.uuid4()
    ring = RingFile(settings.tenant_keys).read()
    events = json.dumps(more.get("events", ["job.completed"]))

    async def run() -> None:
        async with (
            await psycopg.AsyncConnection.connect(
                settings.database_url, autocommit=True
            ) as connection,
            entered(connection, tenant),
        ):
            await connection.execute(
                "INSERT INTO webhook_targets (tenant, id, name, url, events, actor, queue, created_at,"
                " created_by, updated_at, updated_by)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, now(), 'x', now(), 'x')",
                (tenant, target, str(target), url, events, more.get("actor"), more.get("queue")),
            )
            name = f"webhook-target.{target}"
            await secret_store.put(connection, ring, SECRET, tenant=tenant, name=name, by="x")

    asyncio.run(run())
    return str(target)


def deliveries(settings: Settings, target: str) -> list[tuple[Any, ...]]:
    with (
        psycopg.connect(settings.database_url, autocommit=True) as connection,
        connection.transaction(),
    ):
        enter(connection, TENANT)
        return connection.execute(
            "SELECT attempt, delivered, status FROM webhook_deliveries WHERE target = %s ORDER BY at",
            (target,),
        ).fetchall()


def run_job(broker: TritonBroker, tenant: str = TENANT) -> str:
    return str(broker.get_actor("noop").send_with_options(tenant=tenant).message_id)


def test_an_event_is_sent_signed_once_to_who_wants_it(
    platform: Settings, broker: TritonBroker, receiver: Receiver
) -> None:
    before = run_job(broker)
    broker.join(broker.get_actor("noop").queue_name, timeout=30_000)
    target = add_target(platform, receiver.url)
    add_target(platform, receiver.url, actor="another")
    add_target(platform, receiver.url, queue="another")
    add_target(platform, receiver.url, events=["job.failed"])
    add_target(platform, receiver.url, tenant="other")
    with feeding(platform):
        job = run_job(broker)
        eventually(lambda: deliveries(platform, target))
        # Once the next one is there, nothing else of this one can come.
        after = run_job(broker)
        eventually(lambda: len(deliveries(platform, target)) == 2)

    told = [json.loads(body)["data"]["subject"] for _, body in receiver.got]
    assert sorted(told) == sorted([job, after])
    assert before not in told
    headers, body = receiver.got[told.index(job)]
    assert signing.verified(SECRET, headers, body, now=time.time())
    said = json.loads(body)
    assert (said["type"], said["data"]["tenant"]) == ("job.completed", TENANT)
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert deliveries(platform, target) == [(1, True, 204)] * 2


def test_an_event_that_cannot_be_read_is_sent_with_the_reason(
    platform: Settings, broker: TritonBroker, receiver: Receiver
) -> None:
    """It must not end the process, which projects too."""
    add_target(platform, receiver.url)
    run_job(broker)
    broker.join("work", timeout=30_000)
    log, client = keys.log(keys.prefix(platform.namespace, 0)), broker.client
    entries: Any = client.xrange(log)
    client.delete(log)
    for entry_id, fields in entries:
        if fields[1] == b"job.completed":
            fields[fields.index(b"data") + 1] = b"\xc1"
        client.execute_command("XADD", log, entry_id, *fields)
    with feeding(platform):
        eventually(lambda: receiver.got)
    assert "problem" in json.loads(receiver.got[0][1])["data"]["data"]


def test_what_is_not_taken_is_told_and_tried_again(
    platform: Settings, broker: TritonBroker, receiver: Receiver
) -> None:
    # Where it leads is not followed: it may lead to where webhooks must not go.
    receiver.status = 307
    target = add_target(platform, receiver.url, actor="noop")
    with feeding(platform):
        run_job(broker)
        eventually(lambda: deliveries(platform, target))
    assert deliveries(platform, target) == [(1, False, 307)]
    assert len(receiver.got) == 1
    with psycopg.connect(platform.database_url) as connection:
        moved = connection.execute("SELECT position FROM checkpoints WHERE projector = 'webhooks'")
        assert moved.fetchone() != (0,)

    async def states() -> list[bytes | None]:
        async with connect_async(platform.redis_url) as client:
            names = [key async for key in client.scan_iter(f"{{{platform.namespace}:0}}:job:*")]
            return [await client.hget(name, "state") for name in names]

    eventually(lambda: b"scheduled" in asyncio.run(states()))


def test_a_reader_that_begins_again_makes_no_second_delivery(
    platform: Settings, broker: TritonBroker, receiver: Receiver
) -> None:
    target = add_target(platform, receiver.url)
    with feeding(platform):
        run_job(broker)
        eventually(lambda: deliveries(platform, target))
    with psycopg.connect(platform.database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE checkpoints SET position = 0, digest = '' WHERE projector = 'webhooks'"
        )
    with feeding(platform):
        run_job(broker)
        eventually(lambda: len(deliveries(platform, target)) == 2)
    assert len(receiver.got) == 2


def test_a_private_address_is_refused_at_delivery(
    platform: Settings,
    broker: TritonBroker,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRITON_WEBHOOK_PRIVATE", "false")
    target = add_target(platform, receiver.url)
    with feeding(platform):
        run_job(broker)
        eventually(lambda: deliveries(platform, target))
    assert deliveries(platform, target) == [(1, False, None)]
    assert receiver.got == []


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
        ),
        *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *(
            "::",
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "fec0::1",
            "64:ff9b:1::a00:1",
            "5f00::1",
            "3fff::1",
        ),
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2002:a00:1::1",
        ),
        *("2001:0:4136:e378:8000:63bf:80ff:fffe", "no address"),
    ],
)
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "64:ff9b::101:101"]
)
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


def found(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda _, __: list(addresses)


def test_the_address_that_was_judged_is_the_one_that_is_asked() -> None:
    to = destination_of(
        "https://hooks.example.com:8443/a?b=c", private=False, lookup=found("93.184.215.14")
    )
    assert str(to.url) == "https://93.184.215.14:8443/a?b=c"
    assert (to.name, to.host) == ("hooks.example.com", "hooks.example.com:8443")
    six = destination_of("http://h.example/", private=False, lookup=found("2606:4700:4700::1111"))
    assert str(six.url) == "http://[2606:4700:4700::1111]/"


def test_one_private_address_of_a_name_is_enough_to_refuse_it() -> None:
    with pytest.raises(ForbiddenError, match=r"10\.0\.0\.1"):
        destination_of(
            "https://h.example", private=False, lookup=found("93.184.215.14", "10.0.0.1")
        )
    allowed = destination_of("https://h.example", private=True, lookup=found("10.0.0.1"))
    assert allowed.url.host == "10.0.0.1"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "https://user:pw@h/",
        "https:///x",
        "nonsense",
        "http://[::1",
        "file:///etc/passwd",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ValidationError):
        destination_of(url, private=True, lookup=found("1.1.1.1"))


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://h.example", True),
        ("http://h.example:8080/a@b?c=d", True),
        ("https://[2606:2800::1]/x", True),
        ("https://user:pw@h.example/", False),
        ("https://user@h.example", False),
        ("https:///x", False),
        ("ftp://h.example", False),
    ],
)
def test_no_password_is_taken_with_an_address(url: str, taken: bool) -> None:
    target = {"name": "n", "url": url, "events": ["job.failed"]}
    if taken:
        assert msgspec.convert(target, WebhookTargetWrite).url == url
        return
    with pytest.raises(msgspec.ValidationError, match="url"):
        msgspec.convert(target, WebhookTargetWrite)


@pytest.mark.parametrize(
    "name", ["localhost", "2130706433", "0177.1", "0x7f000001", "127.1", "[::1]", "[::ffff:7f00:1]"]
)
def test_loopback_by_any_name_is_refused(name: str) -> None:
    with pytest.raises((ForbiddenError, UnavailableError)):
        destination_of(f"http://{name}/", private=False)


def test_a_target_that_does_not_answer_is_a_reason_and_no_error() -> None:
    to = destination_of("http://127.0.0.1:1/", private=True)
    sent = send(to, SECRET, "m", b"{}", now=time.time())
    assert (sent.status, sent.delivered) == (None, False)
    assert "ConnectError" in sent.error
