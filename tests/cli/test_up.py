"""The life of `triton up`: one stack per folder, an end in order, no orphan after the worst end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from command_line import Commands, Invoke, Up, command_line, descendants

from eventually import eventually
from triton import health
from triton.api.listener import listen
from triton.errors import StartupError
from triton.observe.signs import found


def test_second_stack_on_the_same_folder_says_so(invoke: Invoke, up: Up) -> None:
    up.running()
    # Its own port is taken too, but that is not what is wrong.
    for port in ("0", str(urlsplit(up.running().api).port)):
        result = invoke("up", "--data", str(up.data), "--port", port)
        assert result.exit_code == 2
        assert f"already runs on {up.data} (held by pid {up.process.pid})" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_every_role_says_that_it_gets_somewhere(
    up: Up, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    up.running()
    monkeypatch.setenv("TRITON_HEALTH", str(up.health))
    eventually(lambda: health.main([]) == 0, timeout=60)
    well = capsys.readouterr().out.splitlines()[-1]
    assert [role for role in ("api", "archiver", "projector", "worker") if role not in well] == []
    parts = {name for sign in found(str(up.health)) for name in sign.parts}
    assert {"redis", "postgres/1", "clickhouse/1", "log/1", "archive/1"} <= parts


def test_taken_port_is_said_before_anything_starts(invoke: Invoke, up: Up, folder: Path) -> None:
    port = urlsplit(up.running().api).port
    result = invoke("up", "--data", str(folder / "other"), "--port", str(port))
    assert result.exit_code == 2
    assert f"port {port} on 127.0.0.1 is taken" in result.stderr
    assert not (folder / "other").exists()


def test_ctrl_c_and_kill_9_leave_nothing_running(folder: Path, invoke: Invoke) -> None:
    """And what was done before both is there afterwards."""
    data = folder / "life"
    first = Up(data)
    first.running()
    tree = {first.process.pid: "", **descendants(first.process.pid)}
    assert len(tree) > 6
    commands = Commands(invoke, data)
    job = commands.ended("cli.count", "--args", "[3]")
    assert first.end(signal.SIGINT) == 130
    assert not [pid for pid in tree if alive(pid)]

    second = Up(data)
    second.running()
    tree = {second.process.pid: "", **descendants(second.process.pid)}
    assert len(tree) > 6
    states = {found["id"]: found["state"] for found in commands.json("replay")["jobs"]}
    assert states == {job: "completed"}
    os.kill(second.process.pid, signal.SIGKILL)
    second.process.wait()
    eventually(lambda: not [pid for pid in tree if alive(pid)], timeout=60)
    assert "No Triton stack runs" in commands.run("jobs", status=3).stderr


def alive(pid: int) -> bool:
    """Whether it runs; one that ended and was not collected has no command line."""
    return bool(command_line(pid))


def test_the_port_stays_the_stack_s_while_its_api_is_away(up: Up) -> None:
    """Two stacks that start at once never share one; who asks while the API starts again waits."""
    address = urlsplit(up.running().api)
    os.kill(up.api(), signal.SIGKILL)
    with pytest.raises(StartupError, match="is taken"):
        listen(str(address.hostname), address.port or 0, 1000)
    assert httpx.get(f"{up.running().api}/health", timeout=30, trust_env=False).status_code == 200
