"""What needs no stack: exit statuses, sentences, arguments, and a quick start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import redis
from command_line import Invoke

from triton.cli.arguments import json_array, json_object, milliseconds, moment, named
from triton.cli.bulk import MAX_BYTES, Line, parts_of
from triton.cli.checks import machine
from triton.cli.exits import ending_of
from triton.cli.live import LiveJob
from triton.cli.output import safe
from triton.cli.target import engines
from triton.cli.typed import typed
from triton.cli.up import without_password
from triton.client.sse import Message
from triton.errors import (
    ConfigurationError,
    ConflictError,
    StartupError,
    UnauthenticatedError,
    UnavailableError,
    ValidationError,
)
from triton.settings import Settings

HEAVY = ("redis", "psycopg", "httpx", "fastapi", "clickhouse_connect", "dramatiq", "boto3", "chdb")


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, triton.cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_every_command_has_help(invoke: Invoke) -> None:
    listed = invoke("--help")
    assert listed.exit_code == 0
    names = "up demo doctor upload submit watch jobs events dead replay verify migrate relay outbox"
    for name in names.split():
        assert name in listed.stdout
        assert invoke(name, "--help").exit_code == 0
    below = invoke("jobs", "--help")
    for name in ["cancel", "requeue", "explain"]:
        assert name in below.stdout
        assert invoke("jobs", name, "--help").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs"],
        ["submit", "x"],
        ["watch", "x"],
        ["events", "x"],
        ["replay"],
        ["verify"],
        ["migrate", "status"],
    ],
)
def test_without_a_stack_the_sentence_says_how_to_start_one(
    invoke: Invoke, tmp_path: Path, arguments: list[str]
) -> None:
    result = invoke(*arguments, "--data", str(tmp_path / "nothing"))
    assert result.exit_code == 3
    assert result.stderr.startswith("error: No Triton stack runs on ")
    assert "triton up" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["submit", "x", "--args", "{}"], "--args is '{}', expected a JSON array"),
        (["submit", "x", "--kwargs", "[1"], "--kwargs is '[1', expected a JSON object"),
        (["submit", "x", "--arg", "noname"], "expected name=text"),
        (["submit", "x", "--arg", "a=1", "--arg", "a=2"], "twice"),
        (["submit", "x", "--delay", "soon"], "--delay is 'soon'"),
        (["submit", "x", "--option", "ttl_ms"], "--option is 'ttl_ms', expected name=text"),
        (["submit", "--bulk", "f", "--option", "a=b"], "option does not go with --bulk"),
        (["submit"], "name an actor"),
        (["submit", "x", "--partial"], "--partial goes with --bulk"),
        (["submit", "x", "--bulk", "f"], "actor does not go with --bulk"),
        (["submit", "--bulk", "f", "--watch"], "watch does not go with --bulk"),
        (["jobs", "--status", "lost"], "lost"),
        (["dead", "--since", "soon"], "--since is 'soon'"),
        (["jobs", "requeue"], "name a job, or give a filter"),
        (["jobs", "cancel", "x", "--actor", "a"], "not both"),
        (["jobs", "requeue", "x", "--dry-run"], "not both"),
        (["jobs", "requeue", "--actor", "a", "--json"], "--json asks nothing"),
        (["jobs", "requeue", "--status", "pending"], "pending"),
        (["jobs", "cancel", "x"], "--reason is missing or empty: say why,"),
        (
            ["jobs", "requeue", "--all", "--yes", "--reason", " "],
            "--reason is missing or empty: say why,",
        ),
        (["jobs", "--data", "x", "explain", "y"], "write the options behind `explain`"),
        (["dead", "--by", "shoe"], "shoe"),
        (["up", "--port", "70000"], "65535"),
        (["nonsense"], "nonsense"),
        (["demo", "no such file.pdf"], "there is no document to run on"),
        (
            ["backup", "restore", "b", "--reason", "x", "--yes", "--subject-keys", "nowhere"],
            "nowhere, which --subject-keys names, is no folder",
        ),
    ],
)
def test_bad_usage(invoke: Invoke, arguments: list[str], found: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert found in result.stderr


def test_moments() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert moment("--since", "90m", now) == "2026-01-31T10:30:00+00:00"
    assert moment("--since", "2026-01-31T12:00:00Z") == "2026-01-31T12:00:00+00:00"
    assert datetime.fromisoformat(moment("--since", "2026-01-31 12:00")).tzinfo is not None


@pytest.mark.parametrize("text", ["99999999999999h", "9" * 400, "0001-01-01", "-1h", "never"])
def test_moments_beyond_the_calendar_are_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # West of Greenwich year 1 begins later in UTC, east of it before UTC begins.
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with pytest.raises(ValidationError, match="expected"):
            moment("--since", text)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_file_is_parted_into_calls_that_fit() -> None:
    lines = [Line(number, b"x" * 1000) for number in range(25_001)]
    assert [len(part) for part in parts_of(lines)] == [10_000, 10_000, 5_001]
    large = [Line(number, b"x" * 2**20) for number in range(40)]
    parts = list(parts_of(large))
    assert [line for part in parts for line in part] == large
    assert all(sum(len(line.json) + 2 for line in part) <= MAX_BYTES for part in parts)


def test_a_stack_that_is_stopped_still_has_its_archive(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        engines(str(tmp_path), "archive_url")
    (tmp_path / "archive").mkdir()
    assert engines(str(tmp_path), "archive_url").archive_url == (tmp_path / "archive").as_uri()
    with pytest.raises(UnavailableError):
        engines(str(tmp_path), "archive_url", "redis_url")


def test_bad_setting_is_named(invoke: Invoke) -> None:
    result = invoke("up", env={"TRITON_PORT": "many"})
    assert result.exit_code == 2
    assert result.stderr.startswith("error: TRITON_PORT is 'many'")
    # An empty variable of the shell: its engines would go into the folder that one is in.
    result = invoke("up", "--data", "")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("error: TRITON_DATA is '': expected a folder")


def test_up_looks_at_what_it_is_given_before_it_starts_anything(
    invoke: Invoke, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for name, url, status, said in (
        ("ARCHIVE_URL", f"file://{__file__}", 2, "the archive"),
        ("REDIS_URL", "redis://127.0.0.1:1/0", 3, "Redis does not answer"),
        ("DATABASE_URL", "postgresql://127.0.0.1:1/none", 3, "PostgreSQL does not answer"),
        ("DATABASE_URL", "postgresql://h/none?no_option=1", 2, "PostgreSQL's URL cannot be used"),
        ("CLICKHOUSE_URL", "http://127.0.0.1:1/none", 3, "ClickHouse does not answer"),
        ("CORS_ORIGINS", "*", 2, "TRITON_CORS_ORIGINS holds '*', which is no origin"),
        ("WITNESSES", "x", 2, "TRITON_WITNESSES names witnesses as KEY URL"),
        (
            "MODULES",
            "triton.handlers,no_such.actors",
            2,
            "the module 'no_such.actors' of TRITON_MODULES",
        ),
    ):
        result = invoke("up", "--data", str(data), "--port", "0", env={f"TRITON_{name}": url})
        assert (result.exit_code, result.stderr.count("\n")) == (status, 1), result.stderr
        assert result.stderr.startswith(f"error: {said}")
    assert not data.exists()


@pytest.mark.parametrize("role", ["api", "worker", "projector"])
def test_roles_take_no_server_by_chance(role: str) -> None:
    """A Redis that happens to listen on the usual port is somebody else's."""
    # As a process of its own: a worker that starts after all replaces the one it is called in.
    ended = subprocess.run(
        [sys.executable, "-m", "triton", role],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: TRITON_REDIS_URL is ")


def test_an_api_whose_redis_is_away_ends_with_one_sentence(tmp_path: Path) -> None:
    """uvicorn would print the traceback of the start that failed."""
    urls = {
        "TRITON_REDIS_URL": "redis://127.0.0.1:1/0",
        "TRITON_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "TRITON_CLICKHOUSE_URL": "http://127.0.0.1:1/none",
        "TRITON_ARCHIVE_URL": f"file://{tmp_path}/archive",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "triton", "api", "--port", "0"],
        env={**os.environ, **urls},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    said = ended.stderr.strip().splitlines()
    assert said[-1].startswith("error: Redis does not answer")
    assert "Traceback" not in ended.stderr
    # ClickHouse's driver would have a word of its own.
    verified = subprocess.run(
        [sys.executable, "-m", "triton", "verify"],
        env={**os.environ, **urls},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert verified.returncode == 3
    assert [line[:6] for line in verified.stderr.strip().splitlines()] == ["error:"]


def test_api_that_does_not_answer(invoke: Invoke) -> None:
    result = invoke("jobs", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 3
    assert "http://127.0.0.1:9 does not answer" in result.stderr


def test_the_api_is_found_by_option_then_folder_then_setting(
    invoke: Invoke, tmp_path: Path
) -> None:
    env = {"TRITON_API_URL": "http://127.0.0.1:9/"}
    assert "http://127.0.0.1:9 does not answer" in invoke("jobs", env=env).stderr
    other = invoke("jobs", "--url", "http://127.0.0.1:10", env=env)
    assert "http://127.0.0.1:10 does not answer" in other.stderr
    named = invoke("jobs", "--data", str(tmp_path / "none"), env=env)
    assert "No Triton stack runs on" in named.stderr


def test_a_traceback_is_shown_to_who_wants_it(invoke: Invoke) -> None:
    wrong = {"TRITON_PORT": "many"}
    assert "Traceback" not in str(invoke("jobs", env=wrong).exception)
    debugged = invoke("jobs", env={**wrong, "TRITON_DEBUG": "1"})
    assert isinstance(debugged.exception, ConfigurationError)
    assert isinstance(invoke("jobs", env={**wrong, "TRITON_DEBUG": "0"}).exception, SystemExit)


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ({}, "fail"),
        (
            {"archive_url": "s3://b", "redis_url": "r", "database_url": "d", "clickhouse_url": "c"},
            "warn",
        ),
        (
            {
                "archive_url": "s3://b",
                "redis_url": "r",
                "database_url": "d",
                "clickhouse_url": "c",
                "token_keys": "file:///keys",
            },
            "ok",
        ),
    ],
)
def test_a_container_needs_no_data_folder(
    given: dict[str, str], level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file system is read-only; the folder is for engines, and for keys that were not given."""
    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = machine.check(msgspec.convert({"data": "nowhere", **given}, Settings))
    assert [one.level for one in found if one.about == "data"] == [level]


def test_doctor_without_a_stack_still_looks_at_the_machine(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("doctor", "--data", str(tmp_path / "d"), "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)["findings"]
    assert {"python", "data", "stack"} <= {finding["about"] for finding in found}
    assert [finding["about"] for finding in found if finding["level"] == "fail"] == ["stack"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConflictError("it ended"), 1),
        (ConfigurationError("wrong"), 2),
        (ValidationError("wrong"), 2),
        (StartupError("taken"), 2),
        (UnavailableError("away"), 3),
        (redis.ConnectionError("refused"), 3),
        (PermissionError(13, "Permission denied", "/x"), 1),
        (KeyError("bug"), 70),
    ],
)
def test_exit_status_of_errors(error: Exception, status: int) -> None:
    ending = ending_of(error)
    assert ending is not None
    assert ending.status == status
    assert "\n" not in ending.sentence


def test_who_holds_no_key_that_counts_is_told_how_to_make_one_without() -> None:
    """`triton keys create` would ask the API, which lets nobody in without a key."""
    ending = ending_of(UnauthenticatedError("this API key is not known"))
    assert ending is not None
    assert "`triton keys recover` makes one" in ending.sentence


def test_arguments() -> None:
    assert named("--arg", ["a=1", "b:=1", "c:=[true]", "d=", "e=x=y"]) == {
        "a": "1",
        "b": 1,
        "c": [True],
        "d": "",
        "e": "x=y",
    }
    assert json_array("--args", None) == []
    assert json_object("--kwargs", '{"a": null}') == {"a": None}
    assert [
        milliseconds("--delay", text) for text in ("500ms", "10s", "2m", "1.5h", "1d", "3")
    ] == [
        500,
        10_000,
        120_000,
        5_400_000,
        86_400_000,
        3_000,
    ]


def test_strangers_texts_cannot_reach_the_terminal() -> None:
    assert "\x1b" not in safe("a\x1b[31mb\x07\x9bc\ud800")
    assert safe("a\tb\nc") == "a b c"
    assert safe("Überschrift 文書 →") == "Überschrift 文書 →"


def test_commands_are_suggested_as_they_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs `make demo` has no `triton` on the PATH."""
    program = tmp_path / ".venv" / "bin" / "triton"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    assert typed(".venv/bin/triton", tmp_path) == ".venv/bin/triton"
    assert typed(str(program), tmp_path) == ".venv/bin/triton"
    assert typed(str(program), tmp_path / ".venv" / "bin" / "x") == str(program)
    assert typed("/x/triton/__main__.py", tmp_path) == "python -m triton"
    monkeypatch.setenv("PATH", str(program.parent))
    assert typed(str(program), tmp_path) == "triton"


def test_passwords_are_not_shown() -> None:
    assert without_password("http://me:secret@host:1/db") == "http://me:***@host:1/db"
    assert without_password("unix:///run/x.sock?db=0") == "unix:///run/x.sock?db=0"


def test_reset_forgets_and_the_snapshot_replaces() -> None:
    """After a reset nothing of the state before may survive."""
    job = LiveJob("j", state="processing", percent=50.0, version=9, error="old")
    job.take(Message("triton.reset", '{"reason": "epoch"}', "x"))
    view = {
        "state": "pending",
        "percent": 0.0,
        "stage": "",
        "attempt": 1,
        "version": 3,
        "partition": 0,
        "position": 7,
        "result": None,
        "error": None,
        "reason": "",
    }
    job.take(Message("triton.snapshot", json.dumps(view), "x"))
    assert (job.state, job.percent, job.version, job.error) == ("pending", 0.0, 3, "")
