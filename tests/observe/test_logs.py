"""The log's lines: what is in them, and what never is."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from triton.errors import ConfigurationError
from triton.observe import beginning, tracing
from triton.observe.cursors import text_of
from triton.observe.logger import get_logger
from triton.observe.logs import configure
from triton.observe.secrets import cleaned, redacted
from triton.observe.slow import Rarely, limits_of
from triton.outbox.enqueue import statement
from triton.settings import Settings, load, tracing_wanted
from triton.submit import message_for

Configured = Callable[..., Callable[[], list[dict[str, Any]]]]


@pytest.fixture
def configured() -> Iterator[Configured]:
    """Configures the log as a role does, and gives the lines so far; afterwards all is as before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def begin(**settings: Any) -> Callable[[], list[dict[str, Any]]]:
        out = io.StringIO()
        configure("api", Settings(**settings), stream=out)
        return lambda: [json.loads(line) for line in out.getvalue().splitlines()]

    yield begin
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_ours_and_other_peoples_lines_have_one_form(configured: Configured) -> None:
    lines = configured()
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger("app").info("theirs", n=1)
        get_logger("triton.worker").bind(worker="w").warning("ours", job="j1")
        logging.getLogger("somebody.else").info("started %d", 7)
    logging.getLogger("somebody.else").debug("not at this level")
    theirs, ours, started = lines()
    for line in (theirs, ours, started):
        assert line["role"] == "api"
        assert line["pid"] > 0
        assert line["timestamp"].endswith("Z")
        assert line["request_id"] == "r1"
    assert (theirs["event"], theirs["n"], theirs["logger"]) == ("theirs", 1, "app")
    assert (ours["job_id"], ours["worker"], ours["level"]) == ("j1", "w", "warning")
    assert (started["event"], started["logger"]) == ("started 7", "somebody.else")


def test_the_level_is_a_setting(configured: Configured) -> None:
    lines = configured(log_level="error")
    get_logger("triton.worker").warning("not told")
    logging.getLogger("any").warning("not told")
    get_logger("triton.worker").error("told")
    assert [line["event"] for line in lines()] == ["told"]
    with pytest.raises(ConfigurationError, match="TRITON_LOG_LEVEL is 'loud'"):
        load({"TRITON_LOG_LEVEL": "loud"})


def raised(words: str) -> BaseException:
    try:
        try:
            raise ValueError(words)
        except ValueError as error:
            raise RuntimeError(words) from error
    except RuntimeError as error:
        return error


def test_what_an_exception_says_is_told_only_where_that_is_asked_for(
    configured: Configured,
) -> None:
    lines = configured()
    get_logger("triton.worker").error("failed", exc_info=raised("argument 17"))
    logging.getLogger("dramatiq.worker").error("failed", exc_info=raised("argument 17"))
    logging.getLogger("app.mine").error("failed", exc_info=raised("argument 17"))
    ours, dramatiqs, own = (line["exception"] for line in lines())
    for found in (ours, dramatiqs):
        assert "argument" not in json.dumps(found)
        assert found["type"] == "RuntimeError"
        assert found["cause"]["type"] == "ValueError"
        assert found["frames"][-1]["function"] == "raised"
        assert found["frames"][-1]["file"] == __file__
    assert own["message"] == "argument 17"

    lines = configured(log_messages=True)
    get_logger("triton.worker").error("failed", exc_info=raised("argument 17"))
    assert lines()[0]["exception"]["cause"]["message"] == "argument 17"


def test_a_role_that_ends_by_a_bug_says_where(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = configured()
    begun: list[str] = []
    monkeypatch.setattr(beginning, "begin", lambda role, _: begun.append(role))
    with pytest.raises(KeyError), beginning.playing("relay", Settings()):
        raise ExceptionGroup("tasks", [KeyError("argument 17")])
    (line,) = lines()
    assert (line["event"], line["level"]) == ("crashed", "critical")
    assert line["exception"]["type"] == "KeyError"
    with pytest.raises(ConfigurationError), beginning.playing("relay", Settings()):
        raise ExceptionGroup("tasks", [ConfigurationError("a setting is wrong")])
    with pytest.raises(ExceptionGroup), beginning.playing("relay", Settings()):
        raise ExceptionGroup("tasks", [KeyError("a"), KeyError("b")])
    assert [line["event"] for line in lines()] == ["crashed"] * 2, (
        "the command says a wrong setting"
    )
    assert begun == ["relay"] * 3


def test_a_person_reads_lines_and_not_json() -> None:
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure("worker", Settings(log_format="text"), stream=out)
        get_logger("triton.worker").error("failed", n=1, exc_info=raised("argument 17"))
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
    first, *rest = out.getvalue().splitlines()
    assert "failed" in first
    assert "n=1" in first
    assert rest[-1] == "RuntimeError"
    assert "caused:" in rest


SECRETS = (
    "redis://user:hunter2@host:6379/0 is away",
    "postgresql://:hunter2@/db",
    "postgresql://user:p@hunter2@host/db",
    "Authorization: Bearer hunter2hunter2",
    "GET /x?token=hunter2&y=1",
    'body {"refresh_token": "hunter2", "n": 1}',
    "TRITON_API_KEY=hunter2",
    "key trk_abc_hunter2 of somebody",
    "trs_eyJhbGciOiJF.hunter2.x",
    "eyJhbGciOiJF.hunter2.sig",
)


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_taken_out(text: str) -> None:
    assert "hunter2" not in redacted(text)
    assert "hunter2" not in json.dumps(cleaned({"a": [{"b": text}]}))


@pytest.mark.parametrize(
    "text",
    ["", "a job of token bucket", "http://host:8000/path?a=1", "password of ann was wrong", "trk"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_line_that_json_does_not_know_is_told_all_the_same(configured: Configured) -> None:
    lines = configured()
    get_logger("triton.api").info("odd", text="\ud800", thing=object(), keys={1: 2})
    assert lines()[0]["event"] in ("odd", "'odd'")


def test_without_any_configuration_the_application_decides(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not structlog.is_configured()
    with caplog.at_level(logging.WARNING, logger="triton.worker"):
        get_logger("triton.worker").info("quiet")
        get_logger("triton.worker").bind(worker="w").warning("heard", n=1)
    assert [record.getMessage() for record in caplog.records] == ["event='heard' worker='w' n=1"]
    assert capsys.readouterr().out == ""


def test_the_same_slow_thing_is_told_rarely() -> None:
    now = 0.0
    rarely = Rarely(10, lambda: now)
    assert [rarely.turn("a"), rarely.turn("a"), rarely.turn("b"), rarely.turn("a")] == [
        0,
        None,
        0,
        None,
    ]
    now = 10.0
    assert [rarely.turn("a"), rarely.turn("b")] == [2, 0]


def test_an_actor_says_what_is_slow_for_it() -> None:
    assert limits_of({}, 30_000, 60_000) == (30.0, 60_000_000.0)
    assert limits_of({"slow_run_ms": 500, "slow_wait_ms": 0}, 30_000, 60_000) == (0.5, float("inf"))
    for wrong in (-1, "5", True, float("nan")):
        with pytest.raises(ValueError, match="slow_run_ms is"):
            limits_of({"slow_run_ms": wrong}, 1, 1)


def test_a_statement_is_told_without_its_values() -> None:
    sql = pytest.importorskip("psycopg.sql")
    query = sql.SQL("SELECT {} FROM {}").format(sql.Literal("hunter2"), sql.Identifier("t"))
    assert text_of(query) == 'SELECT %s FROM "t"'


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_the_standard_variables_say_whether_a_role_traces(
    environ: dict[str, str], wanted: bool
) -> None:
    assert tracing_wanted(environ) is wanted


def test_a_row_of_the_outbox_carries_the_trace_of_who_wrote_it() -> None:
    provider = TracerProvider()
    tracing.enable(provider)
    try:
        with provider.get_tracer("test").start_as_current_span("order") as span:
            _, values = statement(message_for(job="j", at_ms=1, actor="mail"))
    finally:
        tracing.disable()
    trace = f"{span.get_span_context().trace_id:032x}"
    assert trace in json.loads(values[5])["traceparent"]
    _, values = statement(message_for(job="j", at_ms=1, actor="mail"))
    assert json.loads(values[5]) == {}
