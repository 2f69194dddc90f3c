"""Proof on a running platform: an event is proved here, and checked where there is no Triton."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Commands, Up

from eventually import eventually
from triton.verifier import triton_verify

pytestmark = pytest.mark.timeout(200)


def alone(*arguments: str) -> tuple[int, str]:
    """The auditor's program, without Triton."""
    command = [sys.executable, "-I", "-S", triton_verify.__file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_an_event_is_proved_and_checked_elsewhere(commands: Commands, tmp_path: Path) -> None:
    job = commands.ended("cli.count", "--args", "[1]")
    key = commands.run("audit", "key").stdout.strip()
    (tmp_path / "key").write_text(key + "\n")
    file = tmp_path / "proof"
    said = commands.json("audit", "prove", job, "--out", str(file))
    status, shown = alone(str(file), "--key", str(tmp_path / "key"))
    assert status == 0, shown
    assert f"whole: the event is at position {said['position']} of triton/" in shown
    event = commands.json("events", job)["events"][-1]
    assert f'"job": "{job}"' in alone(str(file), "--key", key, "--json")[1]
    assert said["position"] == event["position"]
    commands.run("audit", "prove", job, "--version", "1")
    assert alone(f"{job}-1.tlog-proof", "--key", key)[0] == 0
    place = f"{said['partition']}:1"
    commands.run("audit", "prove", place, "--out", str(file))
    assert alone(str(file), "--key", key)[0] == 0
    place = f"{said['partition']}:99999999"
    assert "it holds 1 to" in commands.run("audit", "prove", place, status=1).stderr
    assert "There is no partition 99" in commands.run("audit", "prove", "99:1", status=1).stderr
    assert (
        "has no event 99" in commands.run("audit", "prove", job, "--version", "99", status=1).stderr
    )


def test_the_platform_is_verified_against_its_archive(commands: Commands, up: Up) -> None:
    commands.ended("cli.count", "--args", "[3]")

    def report_when_signed() -> Any:
        """Right after its start an archiver has signed nothing yet: then the command ends with 1."""
        try:
            found = commands.json("audit", "verify")
        except AssertionError:
            return None
        return found if any(log["live"] for log in found["logs"]) else None

    report = eventually(report_when_signed)
    assert (report["verdict"], report["pinned"]) == ("whole", True)
    assert {store["store"] for store in report["stores"]} == {"postgres", "clickhouse"}
    assert "whole" in commands.run("audit", "verify").stdout
    stranger = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    shown = commands.json("audit", "verify", "--key", stranger, status=3)
    assert shown["verdict"] == "cannot tell"
    assert "no head of this log is signed by a trusted key" in shown["sentence"]
    assert "no verifier key" in commands.run("audit", "verify", "--key", "x", status=2).stderr
    assert "--since is" in commands.run("audit", "verify", "--since", "soon", status=2).stderr
    folder = up.running().archive.removeprefix("file://")
    key = commands.run("audit", "key").stdout.strip()
    # The archiver may be between a segment and the head that covers it.
    eventually(lambda: alone(folder, "--key", key, "--sealed")[0] == 0)
