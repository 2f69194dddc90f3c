"""`triton audit` asks a running platform about its past, and leaves a note of each question."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from command_line import Commands

from triton.verifier import triton_verify


def test_why_at_and_diff_over_a_running_platform(commands: Commands) -> None:
    job = commands.ended("cli.count", "--args", "[2]")
    found = commands.json("audit", "why", job, "--reason", "case 7")
    assert found["state"] == "completed"
    assert [one["type"] for one in found["story"]][:2] == ["job.submitted", "job.started"]
    started = found["story"][1]
    place = f"{started['partition']}:{started['position']}"
    then = commands.json("audit", "at", place, job)
    assert (then["job"]["state"], then["job"]["args"]) == ("processing", [2])
    assert then["last"].startswith("Attempt 1 began on worker")
    assert commands.json("audit", "at", started["at"], job)["job"] == then["job"]
    assert commands.json("audit", "at", str(started["position"]), job)["job"] == then["job"]
    commands.run("audit", "at", f"{started['partition']}:1", "no such job", status=1)
    running = commands.json("audit", "at", place, "--status", "processing")
    assert job in {one["job"] for one in running["jobs"]}
    change = commands.json("audit", "diff", place, "now", "--limit", "1000")
    (ours,) = [one for one in change["changed"] if one["job"] == job]
    assert (ours["before"], ours["after"]) == ("processing", "completed")
    notes = commands.json("replay")["types"]["audit.read"]
    assert notes >= 6


def test_what_a_person_reads(commands: Commands) -> None:
    job = commands.ended("cli.count", "--args", "[1]")
    told = commands.run("audit", "why", job).stdout
    assert "submitted it at" in told
    assert "What happened to it" in told
    assert "Attempt 1 completed." in told
    counted = commands.run("audit", "at", "now", "--queue", "cli").stdout
    assert counted.startswith("As of ")
    assert "completed" in counted
    listed = commands.run("audit", "at", "now", "--status", "completed", "--limit", "1").stdout
    assert "--limit shows more" in listed or job in listed
    said = commands.run("audit", "diff", "1d").stdout
    assert "new jobs; ended:" in said


def test_wrong_questions_are_answered_with_one_sentence(commands: Commands) -> None:
    for arguments, status, said in (
        (("at", "yesterday"), 2, "the instant is 'yesterday', expected how long ago"),
        (("at", "7"), 2, "say which one, like 0:7"),
        (("at", "now", "a", "--queue", "q"), 2, "not both"),
        (("why", "no such job"), 1, "the log knows no job 'no such job'"),
        (("diff", "now", "1h"), 2, "give the earlier instant first"),
    ):
        result = commands.run("audit", *arguments, status=status)
        assert said in result.stderr, result.stderr
        assert "Traceback" not in result.output


def test_an_export_is_proved_event_by_event(commands: Commands, tmp_path: Path) -> None:
    job = commands.ended("cli.count", "--args", "[1]")
    folder = tmp_path / "out"
    made = commands.json("audit", "export", str(folder), "--job", job, "--proofs", "--reason", "7")
    assert made["events"] == made["proofs"] == len(commands.json("events", job)["events"])
    assert made["asked"]["job"] == job
    assert (made["reason"], made["format"]) == ("7", "jsonl")
    assert any(one["head"] for one in made["partitions"])
    for proof in (folder / "proofs").iterdir():
        command = [sys.executable, "-I", "-S", triton_verify.__file__, str(proof)]
        done = subprocess.run([*command, "--key", str(folder / "keys")], capture_output=True)
        assert done.returncode == 0, done.stderr
    assert "is not empty" in commands.run("audit", "export", str(folder), status=1).stderr
    said = commands.run("audit", "export", str(tmp_path / "csv"), "--format", "csv").stdout
    assert "events.csv" in said


def test_holds_and_retention_are_events_too(commands: Commands) -> None:
    kinds = ("hold.placed", "hold.lifted", "retention.set")
    before = commands.json("replay")["types"]
    held = commands.json("audit", "hold", "add", "--job", "j1", "--reason", "case 7")
    name = held["hold"]
    again = ("audit", "hold", "add", "--job", "j1", "--name", name, "--reason", "case 7")
    assert commands.json(*again)["position"] == held["position"], "again is the same hold"
    other = ("audit", "hold", "add", "--job", "j2", "--name", name, "--reason", "case 8")
    assert "there is a hold" in commands.run(*other, status=1).stderr
    assert name in commands.run("audit", "hold", "list").stdout
    commands.run("audit", "hold", "lift", name, "--reason", "settled")
    assert name not in {one["hold"] for one in commands.json("audit", "hold", "list")["holds"]}
    (lifted,) = [
        one
        for one in commands.json("audit", "hold", "list", "--all")["holds"]
        if one["hold"] == name
    ]
    assert (lifted["value"], lifted["lifted_why"]) == ("j1", "settled")
    assert (
        "lifted before"
        in commands.run("audit", "hold", "lift", name, "--reason", "x", status=1).stderr
    )
    refused = commands.run(
        "audit", "hold", "add", "--job", "a", "--queue", "b", "--reason", "x", status=2
    )
    assert "one of --tenant, --queue and --job" in refused.stderr
    commands.run("audit", "retention", "set", "400", "--tenant", "acme", "--reason", "the law")
    commands.run("audit", "retention", "set", "30", "--tenant", "acme", "--reason", "a new law")
    (rule,) = commands.json("audit", "retention", "list")["retention"]
    assert (rule["tenant"], rule["days"], rule["reason"]) == ("acme", 30, "a new law")
    assert (
        "--reason is missing or empty"
        in commands.run("audit", "retention", "set", "1", "--reason", " ", status=2).stderr
    )
    types = commands.json("replay")["types"]
    assert [types[kind] - before.get(kind, 0) for kind in kinds] == [1, 1, 2]
    assert "what keeps it" in commands.run("audit", "retention", "plan").stdout
    dry = commands.json("audit", "retention", "apply", "--dry-run")
    assert dry == commands.json("audit", "retention", "plan")
    assert "nothing may expire now" in commands.run("audit", "retention", "apply").stdout
