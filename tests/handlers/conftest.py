"""Owns the running platform of the handlers' tests: migrated database, archive, broker and worker."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import dramatiq
import dramatiq.broker
import psycopg
import pytest
from dramatiq import Message, Worker
from dramatiq.brokers.stub import StubBroker

from triton import TritonBroker
from triton.documents import Document, repository, resources
from triton.stack.engines import Engines
from triton.submit import DEFAULT_TENANT

Upload = Callable[..., Document]


@pytest.fixture(scope="session")
def database_template(migrated_template: str) -> str:
    return migrated_template


@pytest.fixture
def shared(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[resources.Resources]:
    """What a worker's handlers find through the environment that the stack sets for them."""
    monkeypatch.setenv("TRITON_DATABASE_URL", database_url)
    monkeypatch.setenv("TRITON_ARCHIVE_URL", (tmp_path / "archive").as_uri())
    yield resources.resources()
    resources.close()


@pytest.fixture
def upload(shared: resources.Resources) -> Upload:
    """Stores bytes as the API does; answers the document's row."""

    def add(
        data: bytes, filename: str, *, tenant: str = DEFAULT_TENANT, media_type: str = ""
    ) -> Document:
        stored = shared.archive.put_content(data)
        document = Document(
            id=uuid.uuid4().hex,
            tenant=tenant,
            filename=filename,
            media_type=media_type,
            sha256=stored.sha256,
            size=stored.size,
            archive_key=stored.key,
            uploaded_at=datetime.now(UTC),
            uploaded_by="user:test",
        )
        with shared.connection() as connection:
            repository.add(connection, document)
        return document

    return add


@pytest.fixture
def connection(shared: resources.Resources) -> Iterator[psycopg.Connection]:
    with shared.connection() as connection:
        yield connection


@pytest.fixture(scope="module")
def broker(engines: Engines) -> Iterator[TritonBroker]:
    """A TritonBroker with the real actor, and a worker of two threads."""
    if dramatiq.broker.global_broker is None:
        dramatiq.set_broker(StubBroker())
    from triton.handlers.documents import extract_document

    broker = TritonBroker(url=engines.redis_url, namespace="t" + secrets.token_hex(5))
    dramatiq.Actor(
        extract_document.fn,
        broker=broker,
        actor_name=extract_document.actor_name,
        queue_name=extract_document.queue_name,
        priority=extract_document.priority,
        options=extract_document.options,
    )
    worker = Worker(broker, worker_threads=2)
    with pytest.MonkeyPatch.context() as patch:
        # It hears of a cancel soon, without a lease that a slow machine would lose.
        patch.setattr("triton.broker.pulse.MAX_HEARTBEAT", 0.5)
        worker.start()
        try:
            yield broker
        finally:
            worker.stop()
            broker.close()


@pytest.fixture
def submit(broker: TritonBroker) -> Callable[[str], Message]:
    return lambda document: broker.get_actor("documents.extract").send(document=document)
