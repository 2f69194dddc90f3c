"""One API, one worker in this process: what the log and the traces tell of requests and jobs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import msgspec
import pytest
import redis
import structlog
from dramatiq import Worker
from live_api import Hand, LiveApi
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sse_reader import Subscriber

from eventually import eventually
from triton import TritonBroker, keys
from triton.api.server import serve
from triton.errors import UnavailableError
from triton.observe import tracing
from triton.observe.fields import JobFilter
from triton.observe.logs import configure
from triton.observe.slow import calls
from triton.settings import Settings

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET = "hunter2-hunter2"
_mine = logging.getLogger("app.mine")
_records: list[logging.LogRecord] = []


class Said:
    """The lines of the log since the last `forget`."""

    def __init__(self, out: io.StringIO) -> None:
        self._out = out

    def forget(self) -> None:
        self._out.seek(0)
        self._out.truncate()

    @property
    def text(self) -> str:
        return self._out.getvalue()

    def lines(self, event: str, **having: Any) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in found if line["event"] == event and having.items() <= line.items()]


@pytest.fixture(scope="module")
def said(module_settings: Settings) -> Iterator[Said]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    configure("api", msgspec.structs.replace(module_settings, log_level="debug"), stream=out)
    # What asyncio, the test's client and the like tell at `debug` is no matter here.
    root.setLevel(logging.INFO)
    access = logging.getLogger("triton.access")
    access.setLevel(logging.DEBUG)
    yield Said(out)
    access.setLevel(logging.NOTSET)
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracing.enable(provider)
    yield memory
    tracing.disable()


@pytest.fixture(scope="module")
def api(module_settings: Settings, said: Said, exporter: InMemorySpanExporter) -> Iterator[LiveApi]:
    with LiveApi(module_settings) as live:
        yield live


@pytest.fixture(scope="module")
def broker(module_settings: Settings, hand: Hand) -> Iterator[TritonBroker]:
    made = TritonBroker(url=module_settings.redis_url, namespace=module_settings.namespace)

    @dramatiq.actor(broker=made)
    def inner() -> None:
        _mine.info("inside")
        _records.append(logging.makeLogRecord({"msg": "m"}))
        assert JobFilter().filter(_records[-1])

    @dramatiq.actor(broker=made)
    def outer() -> None:
        inner.send()

    @dramatiq.actor(broker=made, max_retries=1, min_backoff=10, max_backoff=20)
    def broken(secret: str) -> None:
        raise ValueError(f"{secret} is no good")

    @dramatiq.actor(broker=made, slow_run_ms=0.001, slow_wait_ms=0.001)
    def slow() -> None:
        pass

    worker = Worker(made, worker_timeout=50, worker_threads=2)
    worker.start()
    yield made
    worker.stop(timeout=20_000)
    made.close()


Named = Callable[[str, int], list[ReadableSpan]]


@pytest.fixture
def named(exporter: InMemorySpanExporter) -> Named:
    """The spans of a name, as soon as there are so many."""

    def wait(name: str, count: int = 1) -> list[ReadableSpan]:
        def found() -> list[ReadableSpan]:
            spans = [span for span in exporter.get_finished_spans() if span.name == name]
            return spans if len(spans) >= count else []

        return eventually(found)

    exporter.clear()
    return wait


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def submit(api: LiveApi, actor: str, *args: Any, **headers: str) -> str:
    body = {"actor": actor, "args": list(args)}
    answer = api.http.post("/api/v1/jobs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_one_trace_from_the_request_to_the_job_that_follows(
    api: LiveApi, broker: TritonBroker, named: Named, said: Said, hand: Hand
) -> None:
    said.forget()
    job = submit(api, "outer", traceparent=CALLER)
    (last,) = named("run inner", 1)
    chain = [
        named(name, 1)[0]
        for name in ("POST /api/v1/jobs", "submit outer", "run outer", "submit inner", "run inner")
    ]
    assert {trace_of(span) for span in chain} == {TRACE}
    parents = [f"{span.parent.span_id:016x}" for span in chain if span.parent]
    assert parents == ["b7ad6b7169203331", *(f"{span.context.span_id:016x}" for span in chain[:-1])]
    wait, ran = named("wait outer", 1)[0], chain[2]
    assert wait.parent == ran.parent
    assert wait.end_time == ran.start_time
    assert (ran.attributes or {})["messaging.message.id"] == job
    assert (ran.attributes or {})["triton.outcome"] == "completed"
    assert last.links == ()
    # The application's own line, within the actor.
    (line,) = said.lines("inside")
    assert (line["actor"], line["attempt"], line["queue"]) == ("inner", 1, "default")
    assert (line["tenant"], line["trace_id"], line["logger"]) == ("default", TRACE, "app.mine")
    # And as the standard library's formatters find it.
    assert (_records[-1].job_id, _records[-1].trace_id) == (line["job_id"], TRACE)  # type: ignore[attr-defined]
    entries: Any = hand.client.xrange(keys.log(hand.prefix(job)))
    fields = [entry[1][1::2] for entry in entries]
    # Those of both jobs, which have the same correlation.
    (together,) = {one[7] for one in fields if one[1] == job.encode()}
    stored = {one[8] for one in fields if one[7] == together}
    assert stored
    assert all(TRACE in one.decode() for one in stored)


def test_a_retry_is_a_trace_of_its_own_that_is_linked(
    api: LiveApi, broker: TritonBroker, named: Named
) -> None:
    submit(api, "broken", SECRET, traceparent=CALLER)
    first, second = named("run broken", 2)
    assert trace_of(first) == TRACE
    assert (first.attributes or {})["triton.outcome"] == "retried"
    assert second.parent is None
    assert trace_of(second) != TRACE
    (submitted,) = named("submit broken", 1)
    assert [link.context.span_id for link in second.links] == [
        first.context.span_id,
        submitted.context.span_id,
    ]
    assert (second.attributes or {})["triton.outcome"] == "failed"
    assert (second.attributes or {})["error.type"] == "ValueError"
    told = "".join(span.to_json() for span in (first, second))
    assert SECRET not in told


def test_nothing_is_stored_where_nobody_traces(
    broker: TritonBroker, hand: Hand, exporter: InMemorySpanExporter
) -> None:
    before = tracing.active()
    assert before is not None
    tracing.disable()
    exporter.clear()
    try:
        message = broker.get_actor("inner").send()
        stored: Any = hand.client.xrevrange(keys.log(hand.prefix(message.message_id)), count=50)
        # Else it would be traced by whoever comes next.
        broker.join("default", timeout=30_000)
        assert exporter.get_finished_spans() == ()
    finally:
        tracing.enable(before.provider)
    (submitted,) = [
        fields
        for _, fields in stored
        if fields[b"type"] == b"job.submitted" and fields[b"job"] == message.message_id.encode()
    ]
    assert submitted[b"traceparent"] == b""
    assert "traceparent" not in message.options


def test_each_request_is_one_line_and_a_stream_two(api: LiveApi, said: Said, hand: Hand) -> None:
    said.forget()
    job = hand.submit(queue="nobody")
    api.http.get(f"/api/v1/jobs/{job}", headers={"X-Request-ID": "mine-1"})
    # Its line may come after its answer.
    (line,) = eventually(lambda: said.lines("request", route="/api/v1/jobs/{job_id}"))
    assert (line["method"], line["status"], line["request_id"]) == ("GET", 200, "mine-1")
    assert (line["by"], line["tenant"], line["level"]) == ("user:anonymous", "default", "info")
    assert line["ms"] > 0
    assert job not in said.text
    api.http.get("/health")
    assert eventually(lambda: said.lines("request", route="/health", level="debug"))
    with Subscriber(f"{api.url}/api/v1/jobs/{job}/subscribe") as stream:
        next(stream)
        (opened,) = eventually(lambda: said.lines("stream_opened"))
        assert said.lines("stream_ended") == []
    (ended,) = eventually(lambda: said.lines("stream_ended"))
    assert ended["request_id"] == opened["request_id"] != ""
    assert (ended["route"], ended["by"]) == ("/api/v1/jobs/{job_id}/subscribe", "user:anonymous")
    assert ended["seconds"] >= 0


def test_no_secret_and_no_argument_is_in_the_log(
    api: LiveApi, broker: TritonBroker, said: Said
) -> None:
    said.forget()
    api.http.get(
        f"/api/v1/jobs/nobody?token={SECRET}", headers={"Authorization": f"Bearer {SECRET}"}
    )
    api.http.get(f"/{SECRET}")
    job = submit(api, "broken", SECRET, **{"X-Request-ID": "mine-2"})
    (failed,) = eventually(lambda: said.lines("job_failed", job_id=job))
    assert SECRET not in said.text
    assert (failed["error"], failed["attempt"], failed["actor"]) == ("ValueError", 2, "broken")
    assert failed["correlation"] == "mine-2"
    first, _ = said.lines("attempt_failed", job_id=job)
    assert (first["exception"]["type"], first["level"]) == ("ValueError", "error")
    assert first["exception"]["frames"][-1]["function"] == "broken"
    (retried,) = said.lines("job_retried", job_id=job)
    assert retried["in_ms"] <= 20


def test_a_job_that_no_actor_takes_is_told_with_its_id(
    api: LiveApi, broker: TritonBroker, said: Said
) -> None:
    said.forget()
    job = submit(api, "nobody_knows")
    (failed,) = eventually(lambda: said.lines("job_failed", job_id=job))
    assert (failed["job_id"], failed["actor"], failed["queue"]) == (job, "nobody_knows", "default")
    assert failed["error"] == "ActorNotFound"


def test_an_api_that_cannot_start_says_one_sentence(
    module_settings: Settings, said: Said, redis_client: redis.Redis
) -> None:
    """Redis answers, and refuses what the feed reads first."""
    said.forget()
    redis_client.execute_command(
        "ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@all", "-xrange", "-xread"
    )
    url = module_settings.redis_url.replace("unix://", "unix://reader:pw@")
    refused = msgspec.structs.replace(module_settings, redis_url=url, port=0)
    try:
        with pytest.raises(UnavailableError, match=r"Redis refuses .* what that user may do"):
            serve(refused)
    finally:
        redis_client.execute_command("ACL", "DELUSER", "reader")
    assert "Traceback" not in said.text
    assert said.lines("Application startup failed. Exiting.") == []


def test_what_is_slow_is_told_with_ids_and_without_values(
    api: LiveApi, broker: TritonBroker, said: Said
) -> None:
    said.forget()
    job = submit(api, "slow")
    (ran,) = eventually(lambda: said.lines("slow_job", job_id=job))
    assert (ran["actor"], ran["level"]) == ("slow", "warning")
    (waited,) = said.lines("slow_start", job_id=job)
    assert waited["waited_ms"] >= 0
    before, calls.seconds = calls.seconds, 0.0
    try:
        api.http.get(f"/api/v1/jobs?actor={SECRET}", headers={"X-Request-ID": "mine-3"})
        api.http.get(f"/api/v1/jobs/{SECRET}", headers={"X-Request-ID": "mine-3"})
    finally:
        calls.seconds = before
    assert SECRET not in said.text
    slow = said.lines("slow_query")
    assert {line["engine"] for line in slow} == {"postgresql", "redis"}
    selects = [line for line in slow if line.get("request_id") == "mine-3"]
    assert any(" FROM " in line["statement"] for line in selects)
