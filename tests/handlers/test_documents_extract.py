"""The main job as a worker runs it: real broker, real PostgreSQL, real archive."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg
import pytest
from dramatiq import Message
from dramatiq.results import ResultFailure

from eventually import eventually
from triton import TritonBroker
from triton.documents import Document, repository
from triton.documents.resources import Resources, open_resources
from triton.errors import ConfigurationError, ConflictError, NotFoundError, UnavailableError
from triton.events.client import connect_async, send
from triton.events.envelope import Event
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.events.types import Completed, Failed, Output, Progressed
from triton.extraction import Extraction, Lineage
from triton.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "extraction"))
import document_samples as samples

Upload = Callable[..., Document]
Submit = Callable[[str], Message]


def history(broker: TritonBroker, job: str) -> list[Event]:
    async def read() -> list[Event]:
        async with connect_async(broker.url) as client:
            log = await Log.open(client, Scripts(), broker.namespace, 1, "unused")
            return [event async for event in log.history(job)]

    return asyncio.run(read())


def ended(broker: TritonBroker, job: str) -> list[Event]:
    """The job's events, once the last one is terminal."""

    def terminal() -> list[Event]:
        events = history(broker, job)
        return events if events and isinstance(events[-1].data, Completed | Failed) else []

    return eventually(terminal)


def lineage(connection: psycopg.Connection, document: Document) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT job, attempt, page, kind, extractor FROM extraction_lineage "
        "WHERE document = %s ORDER BY page, span_start, kind",
        (document.id,),
    ).fetchall()


def test_a_document_goes_through_and_leaves_result_progress_output_and_lineage(
    broker: TritonBroker,
    submit: Submit,
    upload: Upload,
    shared: Resources,
    connection: psycopg.Connection,
) -> None:
    document = upload(samples.pdf(pages=3), "report.pdf")
    message = submit(document.id)
    result = message.get_result(backend=broker.get_results_backend(), block=True, timeout=60_000)
    assert (result["title"], result["pages"], result["tables"]) == ("Quarterly report", 3, 3)
    assert result["media_type"] == "application/pdf"
    assert result["headings"][0] == {"level": 1, "text": "Chapter number 1", "page": 1}
    assert (result["sha256"], result["bytes"]) == (document.sha256, document.size)

    stored = shared.archive.read(result["result_key"])
    assert len(stored) == result["result_size"]
    found = msgspec.json.decode(stored, type=Extraction)
    assert found.statistics.words == result["words"]

    events = ended(broker, message.message_id)
    progress = [event.data for event in events if isinstance(event.data, Progressed)]
    assert (progress[-1].percent, progress[-1].stage) == (100.0, "page 3 of 3")
    output = "".join(event.data.chunk for event in events if isinstance(event.data, Output))
    assert "page 2: # Chapter number 2\n" in output
    assert "page 3: table of 3 rows and 3 columns\n" in output

    rows = lineage(connection, document)
    assert [row[2:4] for row in rows[:4]] == [
        (1, "heading"),
        (1, "page"),
        (1, "heading"),
        (1, "table"),
    ]
    assert len(rows) == len(found.lineage)
    assert {row[0] for row in rows} == {message.message_id}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (samples.pdf()[:700], "document_broken: The PDF"),
        (samples.encrypted_pdf("secret"), "document_encrypted: The PDF is encrypted"),
        (b"", "document_empty: The document is empty"),
        (b"\x89PNG\r\n\x1a\n", "document_unsupported: The document is a PNG image"),
    ],
)
def test_a_bad_document_fails_its_job_once_with_the_reason(
    broker: TritonBroker, submit: Submit, upload: Upload, data: bytes, reason: str
) -> None:
    message = submit(upload(data, "x.pdf").id)
    events = ended(broker, message.message_id)
    failed = events[-1].data
    assert isinstance(failed, Failed)
    assert failed.error.message.startswith(reason)
    assert failed.error.type == "ExtractionError"
    assert "pypdf" not in failed.error.traceback
    assert [event.type for event in events].count("job.started") == 1


def test_a_bad_document_costs_no_other_job_anything(
    broker: TritonBroker, submit: Submit, upload: Upload
) -> None:
    backend = broker.get_results_backend()
    good = [submit(upload(f"# Note {n}\n\ntext".encode(), f"{n}.md").id) for n in range(5)]
    bad = [submit(upload(samples.word()[: 1000 + n], f"{n}.docx").id) for n in range(5)]
    for number, message in enumerate(good):
        result = message.get_result(backend=backend, block=True, timeout=60_000)
        assert result["title"] == f"Note {number}"
    for message in bad:
        with pytest.raises(ResultFailure, match="document_broken"):
            message.get_result(backend=backend, block=True, timeout=60_000)


def test_an_unknown_document_and_another_tenants_are_not_found(
    broker: TritonBroker, submit: Submit, upload: Upload
) -> None:
    for document in ("no-such-id", "no\0such", upload(b"text", "x.txt", tenant="somebody-else").id):
        message = submit(document)
        failed = ended(broker, message.message_id)[-1].data
        assert isinstance(failed, Failed)
        assert failed.error.type == "NotFoundError"


def test_a_cancelled_job_stops_between_pages(
    broker: TritonBroker, submit: Submit, upload: Upload
) -> None:
    text = "\f".join(f"page {n}" + " word" * 2000 for n in range(3000))
    message = submit(upload(text.encode(), "long.txt").id)

    def types() -> list[str]:
        return [event.type for event in history(broker, message.message_id)]

    eventually(lambda: "job.progressed" in types())
    prefix = broker.prefix_of(message.message_id)
    call = Scripts().cancel(
        prefix, [message.message_id], op="test", by="user:test", reason="enough"
    )
    send(broker.client, [call])
    eventually(lambda: types()[-1] == "job.cancelled", timeout=60)


LINES = [
    Lineage(1, 0, 10, "page", "pypdf", "1"),
    Lineage(1, 0, 4, "heading", "pypdf", "1"),
    Lineage(2, 0, 0, "page", "pypdf", "1"),
]


def keep(
    connection: psycopg.Connection, document: Document, rows: list[Lineage], attempt: int
) -> bool:
    return repository.add_lineage(
        connection,
        rows,
        tenant=document.tenant,
        document=document.id,
        document_sha256=document.sha256,
        job="job-1",
        attempt=attempt,
        at=datetime.now(UTC),
    )


def test_a_job_that_runs_again_replaces_its_lineage_and_a_late_attempt_does_not(
    connection: psycopg.Connection, upload: Upload
) -> None:
    document = upload(b"text", "x.txt")
    assert keep(connection, document, LINES, 1)
    assert keep(connection, document, LINES[:2], 2)
    assert not keep(connection, document, LINES, 1)
    assert [row[1:4] for row in lineage(connection, document)] == [
        (2, 1, "heading"),
        (2, 1, "page"),
    ]


def test_a_document_is_added_once_and_only_its_tenant_sees_it(
    connection: psycopg.Connection, upload: Upload
) -> None:
    document = upload(b"text", "x.txt", tenant="acme", media_type="text/plain")
    repository.add(connection, document)
    assert repository.get(connection, document.id, tenant="acme") == document
    with pytest.raises(NotFoundError, match="upload it first"):
        repository.get(connection, document.id, tenant="other")
    with pytest.raises(ConflictError):
        repository.add(connection, msgspec.structs.replace(document, filename="other"))


def test_missing_settings_and_an_absent_database_are_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="TRITON_DATABASE_URL"):
        open_resources(Settings(data=str(tmp_path)))
    nobody = Settings(data=str(tmp_path), database_url="postgresql://127.0.0.1:1/x")
    away = open_resources(nobody, timeout=0.2)
    try:
        with pytest.raises(UnavailableError, match="PostgreSQL did not answer"), away.connection():
            pass
    finally:
        away.close()
    assert (tmp_path / "archive").is_dir()


def test_importing_the_handlers_opens_nothing_and_declares_with_the_broker_that_is_set() -> None:
    code = (
        "import dramatiq, sys\n"
        "from dramatiq.brokers.stub import StubBroker\n"
        "dramatiq.set_broker(StubBroker())\n"
        "import triton.handlers\n"
        "from triton.documents import resources\n"
        "assert not resources._opened\n"
        "heavy = {'pypdf', 'docx', 'bs4', 'lxml', 'markdown_it', 'boto3'} & set(sys.modules)\n"
        "print(list(dramatiq.get_broker().actors), heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "['documents.extract', 'webhooks.deliver'] set()\n"
