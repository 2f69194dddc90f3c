"""The commands on a running stack: what they print, what they answer, how they end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
import redis
from command_line import Commands, Invoke, Up

from eventually import eventually
from triton.cli.live import LiveJob
from triton.cli.target import async_client, reach
from triton.cli.watch import _follow
from triton.client import Message

#: A command that waits for a job that never ends must not hold up the suite.
pytestmark = pytest.mark.timeout(200)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_submit_watch_shows_all_and_exits_by_the_outcome(commands: Commands) -> None:
    good = commands.run("submit", "cli.count", "--args", "[3]", "--watch").stdout
    for said in ("submitted", "started", "100 % 3 of 3", "number 3", "completed"):
        assert said in good
    bad = commands.run("submit", "cli.fail", "--arg", "reason=no luck", "--watch", status=1).stdout
    assert "failed: ValueError: no luck" in bad


def test_watch_from_start_is_the_whole_history(commands: Commands) -> None:
    job = commands.ended("cli.count", "--args", "[5]")
    watched = lines(commands.run("watch", job, "--from-start", "--json").stdout)
    assert watched.pop() == {"type": "triton.end", "data": {"state": "completed", "job": job}}
    assert [event["version"] for event in watched] == list(range(1, len(watched) + 1))
    assert watched == commands.json("events", job)["events"]


def test_watch_of_an_ended_job_shows_its_state(commands: Commands) -> None:
    job = commands.ended("cli.fail", "--arg", "reason=x")
    shown = lines(commands.run("watch", job, "--json", status=1).stdout)
    assert [one["type"] for one in shown] == ["triton.snapshot", "triton.end"]
    assert shown[0]["data"]["error"]["message"] == "x"


def test_live_state_equals_the_api(commands: Commands) -> None:
    """The fold of the stream, event by event, ends where the API's own fold is."""
    job = commands.ended("cli.fail", "--arg", "reason=again")
    commands.run("jobs", "requeue", job, "--reason", "second life")
    commands.run("watch", job, status=1)
    live = LiveJob(job)
    for event in commands.json("events", job)["events"]:
        live.take(Message("message", msgspec.json.encode(event).decode(), ""))
    snapshot = lines(commands.run("watch", job, "--json", status=1).stdout)[0]["data"]
    told = LiveJob(job)
    told.take(Message("triton.snapshot", json.dumps(snapshot), ""))
    assert live == told


def test_watch_says_why_nothing_happens(commands: Commands, up: Up) -> None:
    """A job of a queue that no worker serves, which was waited for without a word."""
    job = commands.submit("cli.count", "--args", "[1]", "--queue", "served by nobody")
    told: list[str] = []

    class Viewer:
        def show(self, message: Message, event: object, job: LiveJob) -> None: ...

        def broken(self, reason: str) -> None: ...

        def waits(self, reason: str) -> None:
            told.append(reason)
            if len(told) == 1:
                commands.run("queues", "pause", "served by nobody", "--reason", "repairs")
            elif len(told) == 2:
                commands.run("jobs", "cancel", job, "--reason", "a test")

    live = LiveJob(job)
    api = async_client(str(up.data), None)
    asyncio.run(_follow(api, live, Viewer(), from_start=False, quiet=0.2, again=0.2))
    assert live.state == "cancelled"
    # A slow machine may say the second once more before the job's end is told.
    unserved, paused, *_ = told
    assert "served by nobody" in unserved
    assert "repairs" in paused


def test_watch_survives_the_death_of_the_api(commands: Commands, up: Up, tmp_path: Path) -> None:
    over = tmp_path / "over"
    job = commands.submit("cli.wait", "--args", json.dumps([str(over)]))
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        watching = subprocess.Popen(
            [sys.executable, "-m", "triton", "watch", job, "--from-start", "--json"],
            env={**os.environ, "TRITON_DATA": str(up.data)},
            stdout=stdout,
            stderr=stderr,
        )
    try:
        eventually(lambda: out.read_bytes().count(b"\n") > 3)
        os.kill(up.api(), signal.SIGKILL)
        eventually(lambda: b"connecting again" in err.read_bytes())
        seen = out.read_bytes().count(b"\n")
        eventually(lambda: out.read_bytes().count(b"\n") > seen, timeout=60)
        over.touch()
        assert watching.wait(timeout=60) == 0
    finally:
        watching.kill()
    shown = lines(out.read_text())
    assert shown.pop()["type"] == "triton.end"
    assert [event["version"] for event in shown] == list(range(1, len(shown) + 1))
    assert shown[-1]["type"] == "job.completed"


def test_jobs_can_be_chosen(commands: Commands) -> None:
    job = commands.ended("cli.fail", "--arg", "reason=chosen")
    chosen = (
        "jobs",
        "--status",
        "failed",
        "--queue",
        "cli",
        "--actor",
        "cli.fail",
        "--limit",
        "500",
    )

    def listed() -> list[dict[str, Any]]:
        return [found for found in commands.json(*chosen)["jobs"] if found["id"] == job]

    (found,) = eventually(listed)
    assert found["error"]["message"] == "chosen"
    assert job in commands.run("jobs", "--limit", "500").stdout
    assert commands.json("jobs", "--tenant", "nobody") == {"jobs": []}
    assert commands.run("jobs", "--tenant", "nobody").stdout == "no jobs\n"


def test_events_as_a_table(commands: Commands) -> None:
    job = commands.ended("cli.count", "--args", "[2]")
    shown = commands.run("events", job).stdout
    assert "cli.count(2)" in shown
    assert '{"counted":2}' in shown


def test_explain_says_why(commands: Commands) -> None:
    job = commands.ended("cli.fail", "--arg", "reason=no luck")
    shown = commands.run("jobs", "explain", job).stdout
    assert f"{job} is failed." in shown
    assert "its last attempt raised ValueError: no luck, and no retry was left or wanted." in shown
    assert re.search(r"\bkey:[a-z0-9]{12} submitted it\.", shown)
    assert f"Next: Nothing by itself. `triton jobs requeue {job}` sends it round again." in shown
    explained = commands.json("jobs", "explain", job)
    assert explained.keys() == {"job", "state", "summary", "because", "next", "limits"}
    assert len(explained["because"]) == 3


@pytest.mark.parametrize(
    "command",
    ["watch", "events", "jobs cancel --reason x", "jobs requeue --reason x", "jobs explain"],
)
def test_unknown_job_is_no(commands: Commands, command: str) -> None:
    result = commands.run(*command.split(), "no such job", status=1)
    assert "there is no job 'no such job'" in result.stderr
    assert not result.stdout


def test_cancel_and_requeue(commands: Commands) -> None:
    job = commands.submit("cli.count", "--args", "[1]", "--delay", "1h")
    assert commands.json("jobs", "cancel", job, "--reason", "not now")["state"] == "cancelled"
    assert "has ended" in commands.run("jobs", "cancel", job, "--reason", "a test", status=1).stderr
    assert commands.json("jobs", "requeue", job, "--reason", "a test")["state"] in (
        "pending",
        "processing",
        "completed",
    )
    commands.run("watch", job)
    assert (
        "completed" in commands.run("jobs", "requeue", job, "--reason", "a test", status=1).stderr
    )


def test_requeue_of_a_filter_counts_asks_and_does_it(commands: Commands) -> None:
    begun = datetime.now(UTC).isoformat()
    jobs = [commands.ended("cli.fail", "--arg", f"reason={n}") for n in range(3)]
    chosen = ("jobs", "requeue", "--actor", "cli.fail", "--error", "ValueError", "--since", begun)
    eventually(lambda: commands.json(*chosen, "--dry-run")["count"] == 3)
    shown = commands.run(*chosen, "--dry-run").stdout
    assert "3 failed" in shown
    assert all(job in shown for job in jobs)
    refused = commands.run(*chosen, "--reason", "fixed", status=1, input="n\n")
    assert "Requeue 3 jobs?" in refused.stderr
    assert "nothing was done" in refused.stderr
    assert {event["type"] for event in commands.json("events", jobs[0])["events"]} == {
        "job.submitted",
        "job.started",
        "job.failed",
    }
    assert "3 requeued\n" in commands.run(*chosen, "--reason", "fixed", input="y\n").stdout
    for job in jobs:
        commands.run("watch", job, status=1)
        requeued = commands.json("events", job)["events"][3]
        assert (requeued["type"], requeued["data"]["reason"]) == ("job.requeued", "fixed")
    assert (
        "no job matches"
        in commands.run("jobs", "requeue", "--queue", "nobody", "--yes", "--reason", "x").stdout
    )


def test_cancel_of_a_filter(commands: Commands) -> None:
    options = ("--args", "[1]", "--delay", "1h", "--queue", "later")
    jobs = [commands.submit("cli.count", *options) for _ in range(2)]
    chosen = ("jobs", "cancel", "--queue", "later", "--status", "scheduled")
    eventually(lambda: commands.json(*chosen, "--dry-run")["count"] == 2)
    done = commands.json(*chosen, "--yes", "--reason", "no need")
    assert (done["count"], done["done"], done["skips"]) == (2, 2, [])
    for job in jobs:
        assert re.search(r"key:\w{12}: no need", commands.run("jobs", "explain", job).stdout)


def test_any_option_of_the_api_can_be_given(commands: Commands) -> None:
    begun = datetime.now(UTC).isoformat()
    given = ("--option", "tenant=acme", "--option", "priority:=-5", "--delay", "1h")
    job = commands.submit("cli.count", "--args", "[1]", *given)
    chosen = ("jobs", "--tenant", "acme", "--since", begun)
    (found,) = eventually(lambda: commands.json(*chosen)["jobs"])
    assert (found["id"], found["priority"], found["state"]) == (job, -5, "scheduled")
    refused = commands.run("submit", "cli.count", "--option", "shoe=1", status=2)
    assert "options" in refused.stderr


def test_idempotency_key_is_one_job(commands: Commands) -> None:
    options = ("submit", "cli.count", "--args", "[1]", "--idempotency-key", "the same")
    first, second = commands.json(*options), commands.json(*options)
    assert (first["existing"], second["existing"]) == (False, True)
    assert first["id"] == second["id"]


def test_bulk_submits_a_file_and_names_what_is_wrong_by_its_line(
    commands: Commands, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.jsonl"
    good = '{"actor": "cli.count", "args": [1]}\n'
    file.write_text(good + "\n" + good)
    submit = ("submit", "--bulk", str(file))
    assert commands.run(*submit).stdout == "2 accepted\n"
    keyed = (*submit, "--idempotency-key", "a file")
    first, again = commands.json(*keyed), commands.json(*keyed)
    assert [receipt["status"] for receipt in first["jobs"]] == ["accepted", "accepted"]
    assert [receipt["line"] for receipt in first["jobs"]] == [1, 3]
    assert (again["accepted"], again["existing"]) == (0, 2)
    for receipt in first["jobs"]:
        commands.run("watch", receipt["id"])

    file.write_text(good + "\n" + '{"actor": 1}\n' + good)
    refused = commands.run(*submit, status=2)
    assert "1 of 3 jobs do not fit, so none was submitted: line 3: " in refused.stderr
    partly = commands.run(*submit, "--partial", status=1)
    assert partly.stdout == "2 accepted, 1 refused\n"
    assert "line 3: the request does not fit: actor: " in partly.stderr
    file.write_text(good + "no json\n")
    assert "line 2 is no JSON object" in commands.run(*submit, status=2).stderr
    partly = commands.run(*submit, "--partial", status=1)
    assert partly.stdout == "1 accepted, 1 refused\n"
    assert "line 2: is no JSON object" in partly.stderr
    file.write_text("")
    assert "no jobs" in commands.run(*submit, status=1).stderr


def test_what_may_be_repeated_is_while_the_api_is_away(
    commands: Commands, up: Up, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"actor": "cli.count", "args": [1]}\n' * 2)
    commands.run("jobs")
    os.kill(up.api(), signal.SIGKILL)
    assert commands.run("submit", "--bulk", str(file)).stdout == "2 accepted\n"


def test_dead_lists_and_counts_failed_jobs(commands: Commands) -> None:
    job = commands.ended("cli.fail", "--arg", "reason=dead")
    chosen = ("dead", "--actor", "cli.fail", "--error", "ValueError", "--since", "1h")

    def listed() -> list[dict[str, Any]]:
        letters = commands.json(*chosen, "--limit", "500")["dead_letters"]
        return [letter for letter in letters if letter["id"] == job]

    (letter,) = eventually(listed)
    assert (letter["reason"], letter["message"]) == ("error", "dead")
    assert job in commands.run(*chosen).stdout
    counts = commands.json(*chosen, "--count")
    assert counts["groups"][0]["count"] == counts["total"] > 0
    shown = commands.run(*chosen, "--by", "actor", "--by", "day").stdout
    assert "cli.fail" in shown
    assert f"{counts['total']} failed jobs" in shown
    assert commands.run("dead", "--actor", "nobody").stdout == "no failed jobs\n"
    assert commands.run("dead", "--actor", "nobody", "--count").stdout == "no failed jobs\n"


def test_upload_streams_files_and_says_which_failed(
    commands: Commands, up: Up, tmp_path: Path
) -> None:
    """What is piped is the ids alone: `ID=$(triton upload FILE)` is for the next command."""
    document = tmp_path / "a name with ü.md"
    document.write_text("# Title\n")
    result = commands.run("upload", str(document), str(tmp_path), "missing.pdf", status=1)
    (identity,) = result.stdout.splitlines()
    url, key = reach(str(up.data), None)
    found = httpx.get(
        f"{url}/api/v1/documents/{identity}",
        trust_env=False,
        headers={"Authorization": f"Bearer {key}"},
        timeout=30,
    ).json()
    assert (found["filename"], found["size"]) == ("a name with ü.md", 8)
    assert f"{tmp_path}: Is a directory" in result.stderr
    assert "missing.pdf: No such file" in result.stderr


def test_replay_folds_the_log_to_any_position(commands: Commands) -> None:
    job = commands.ended("cli.count", "--args", "[2]")
    *steps, last = lines(commands.run("replay", "--job", job, "--json").stdout)
    assert [step["state"] for step in steps] == ["pending"] + ["processing"] * (len(steps) - 2) + [
        "completed"
    ]
    assert last["job"]["result"] == {"counted": 2}
    started = steps[1]["event"]["position"]
    partition = ("--partition", str(steps[1]["event"]["partition"]))
    before = commands.json("replay", "--to", str(started), *partition)
    states = {found["id"]: found["state"] for found in before["jobs"]}
    assert states[job] == "processing"
    assert before["partitions"][0]["last"] == started
    after = commands.json("replay", "--from", str(steps[-1]["event"]["position"]), *partition)
    assert job in {found["id"] for found in after["jobs"]}
    assert "Jobs by state" in commands.run("replay").stdout
    assert "no event of job" in commands.run("replay", "--job", "unknown", status=1).stderr


def test_commands_use_the_running_stack_s_namespace_and_partitions(
    commands: Commands, up: Up
) -> None:
    """A person's shell need not have the settings that the stack was started with."""
    published = json.loads((up.data / "stack.json").read_text())
    assert (published["namespace"], published["partitions"]) == ("up.test", 2)
    job = commands.ended("cli.count", "--args", "[1]")
    assert job in commands.run("replay", "--job", job).stdout
    eventually(lambda: commands.json("verify")["ok"])


def test_verify_finds_a_changed_row(commands: Commands, up: Up) -> None:
    job = commands.ended("cli.count", "--args", "[1]")
    chosen = ("jobs", "--actor", "cli.count", "--status", "completed", "--limit", "500")
    eventually(lambda: job in commands.run(*chosen).stdout)
    assert commands.json("verify")["ok"]
    with psycopg.connect(up.running().database, autocommit=True) as connection:
        change = "UPDATE job_states SET percent = %s WHERE job = %s"
        connection.execute(change, (99.0, job))
        try:
            shown = commands.run("verify", status=1).stdout
            assert f"postgres.jobs {job} percent: expected 100.0, found 99.0" in shown
        finally:
            connection.execute(change, (100.0, job))
    assert "verified" in commands.run("verify").stdout


def test_doctor_finds_what_would_lose_the_log(commands: Commands, up: Up) -> None:
    commands.ended("cli.count", "--args", "[1]")

    def healthy() -> list[dict[str, Any]]:
        """All of it, which where a machine stands still is not so at once."""
        findings: list[dict[str, Any]] = commands.json("doctor")["findings"]
        assert not [finding for finding in findings if finding["level"] == "fail"]
        return findings

    abouts = {finding["about"] for finding in eventually(healthy, timeout=90)}
    assert abouts >= {
        "redis",
        "log",
        "postgres",
        "clickhouse",
        "archive",
        "projectors",
        "archiver",
        "api",
    }
    with redis.Redis.from_url(up.running().redis) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            shown = commands.run("doctor", status=1).stdout
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert "fail  redis       maxmemory-policy is allkeys-lru" in shown
    assert "do: CONFIG SET maxmemory-policy noeviction" in shown


def test_doctor_goes_on_where_an_engine_is_away(invoke: Invoke, up: Up) -> None:
    env = {"TRITON_DATA": str(up.data), "TRITON_REDIS_URL": "redis://127.0.0.1:9/0"}

    def goes_on() -> None:
        found = json.loads(invoke("doctor", "--json", env=env).stdout)["findings"]
        failed = {finding["about"] for finding in found if finding["level"] == "fail"}
        assert failed == {"redis", "projectors", "archiver"}
        assert "archive" in {finding["about"] for finding in found if finding["level"] == "ok"}

    # The others answer in time, which on a slow machine may not be the first time.
    eventually(lambda: goes_on() is None, timeout=90)


def test_migrations_are_applied_and_stay(commands: Commands) -> None:
    steps = commands.json("migrate", "status")["migrations"]
    assert {step["engine"] for step in steps} == {"postgres", "clickhouse"}
    assert {step["state"] for step in steps} == {"applied"}
    assert commands.json("migrate", "up") == {"migrations": []}
    assert "--yes" in commands.run("migrate", "down", "--to", "0", status=2).stderr


def test_demo_on_other_peoples_files(commands: Commands, tmp_path: Path) -> None:
    """A broken file is that job's failure, with its reason, and nobody else's."""
    below = tmp_path / "my files" / "below"
    below.mkdir(parents=True)
    (below / "a report.md").write_text("# A report\n\nSome words.\n")
    (below / "broken.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<<")
    (below / "ignored.bin").write_bytes(b"\0")
    shown = commands.run("demo", str(tmp_path / "my files"), "missing.pdf")
    assert "missing.pdf: No such file" in shown.stderr
    assert "a report.md: completed" in shown.stdout
    assert "broken.pdf: failed: ExtractionError: document_broken" in shown.stdout
    assert "ignored.bin" not in shown.output
    assert "1 file was skipped (1 .bin): from folders" in shown.stderr
    for part in ("Jobs, from PostgreSQL", "Throughput", "Latency", "The history of a report.md"):
        assert part in shown.stdout
    assert "verified: both stores equal the fold of the log" in shown.stdout


def test_a_queue_is_held_and_opened_again(commands: Commands) -> None:
    commands.ended("cli.count", "--args", "[1]")
    paused = commands.json("replay")["types"].get("queue.paused", 0)
    try:
        held = commands.json("queues", "pause", "cli", "--reason", "repairs")
        assert (held["state"], held["held"]["reason"]) == ("paused", "repairs")
        commands.run("submit", "cli.count", "--args", "[1]")
        listed = commands.run("queues").stdout
        (row,) = [line for line in listed.splitlines() if line.startswith("cli ")]
        assert "paused" in row
        assert "repairs" in row
        (queue,) = [q for q in commands.json("queues")["queues"] if q["name"] == "cli"]
        assert queue["ready"] == 1
        folded = commands.json("replay")
        assert folded["types"]["queue.paused"] == paused + 2, "one for each partition"
        assert folded["events_of_jobs_without_beginning"] == 0
    finally:
        assert "cli  open" in commands.run("queues", "resume", "cli").stdout
    commands.run("queues", "pause", "nowhere", status=1)


def test_every_role_tells_its_log_as_json(commands: Commands, up: Up) -> None:
    """Whatever happened in this stack so far, in whatever library."""
    commands.json("workers")
    for role in ("api", "worker", "projector", "archiver"):
        text = (up.data / "logs" / f"{role}.log").read_text()
        # Without a line that is still being written.
        told = lines(text[: text.rfind("\n") + 1])
        assert told, role
        assert {line["role"] for line in told} <= {role, "keeper"}
        assert all(line["event"] and line["timestamp"] and line["pid"] for line in told)


def test_workers_are_listed(commands: Commands) -> None:

    def one() -> dict[str, Any]:
        """One that was killed before is listed for a moment longer."""
        workers: list[dict[str, Any]] = commands.json("workers")["workers"]
        assert len(workers) == 1
        return workers[0]

    worker = eventually(one)
    assert "cli" in worker["queues"]
    assert worker["id"] in commands.run("workers").stdout


def test_a_backup_of_the_running_stack_is_whole(commands: Commands, tmp_path: Path) -> None:
    job = commands.ended("cli.count", "--args", "[2]")
    # A relative folder, as people type it.
    made = commands.json("backup", "create", "copies/one")
    assert made == commands.json("backup", "check", "copies/one")
    assert {"postgres.dump", "keys/signing-key.pem"} <= {file["path"] for file in made["files"]}
    assert [one["end"] > 0 for one in made["partitions"]].count(True) >= 1, job
    assert (tmp_path / "copies/one").stat().st_mode & 0o077 == 0
    assert "is not empty" in commands.run("backup", "create", "copies/one", status=1).stderr
    assert "no whole backup" in commands.run("backup", "check", "copies", status=1).stderr
    refused = commands.run("backup", "restore", "copies/one", "--reason", "x", "--yes", status=2)
    assert "already runs" in refused.stderr
