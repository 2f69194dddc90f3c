"""The data folder: one holder, private files, and one clear sentence for each way it cannot be used."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.stack.conftest import Run

from triton.errors import StartupError
from triton.stack import folder as folders
from triton.stack.folder import DataFolder, RunningStack, running_stack

STACK = RunningStack(pid=os.getpid(), redis="r", database="d", clickhouse="c", archive="a", api="x")


def test_the_record_of_a_running_stack_is_there_while_the_folder_is_held(tmp_path: Path) -> None:
    assert running_stack(tmp_path / "none") is None
    with DataFolder(tmp_path / "data") as held:
        assert running_stack(held.path) is None
        held.publish(STACK)
        assert running_stack(held.path) == STACK
        assert (held.path / "stack.json").stat().st_mode & 0o777 == 0o600
    assert running_stack(held.path) is None
    assert not (held.path / "stack.json").exists()


def test_neither_an_open_that_fails_nor_a_close_removes_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed open once removed the working directory, because it did not know its run folder yet."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "precious").write_text("")
    monkeypatch.chdir(here)
    for data in (tmp_path / "short", tmp_path / ("x" * 100)):
        (data / "logs").parent.mkdir()
        (data / "logs").write_text("a file where a folder belongs")
        with pytest.raises(StartupError, match="File exists"):
            DataFolder(data).open()
        (data / "logs").unlink()
        with DataFolder(data) as held:
            (held.run / "mine").write_text("")
        assert (held.run / "mine").exists()
        (held.run / "mine").unlink()
    assert (here / "precious").exists()
    held.run.rmdir()


HOLD = """
import os, sys, time
from pathlib import Path
from triton.stack.folder import DataFolder, RunningStack
folder = DataFolder(Path(sys.argv[1]))
folder.open()
folder.publish(RunningStack(pid=os.getpid(), redis="r", database="d", clickhouse="c", archive="a"))
if sys.argv[2:]:
    os.set_inheritable(folder.lock_fd, True)
    print(os.posix_spawn("/bin/sleep", ["sleep", sys.argv[2]], {}), flush=True)
print("held", flush=True)
time.sleep(600)
"""


def holder(data: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_what_kill_9_leaves_counts_as_stale(tmp_path: Path) -> None:
    process = holder(tmp_path)
    said = re.escape(f"already runs on {tmp_path} (held by pid {process.pid})")
    with pytest.raises(StartupError, match=said):
        DataFolder(tmp_path).open()
    assert running_stack(tmp_path) is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "stack.json").exists()
    assert running_stack(tmp_path) is None
    with DataFolder(tmp_path):
        assert not (tmp_path / "stack.json").exists()


def test_the_folder_is_taken_until_the_last_engine_of_a_killed_stack_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), "600"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    engine = int(process.stdout.readline())
    try:
        assert process.stdout.readline() == "held\n"
        process.kill()
        process.wait()
        assert running_stack(tmp_path) is None
        monkeypatch.setattr(folders, "PREDECESSOR_SECONDS", 0.1)
        with pytest.raises(StartupError, match="held by engines that still end"):
            DataFolder(tmp_path).open()
        monkeypatch.setattr(folders, "PREDECESSOR_SECONDS", 60.0)
        threading.Timer(0.3, os.kill, (engine, signal.SIGKILL)).start()
        with DataFolder(tmp_path):
            pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(engine, signal.SIGKILL)


OPEN = """
import sys
from pathlib import Path
from triton.errors import StartupError
from triton.stack.folder import DataFolder
try:
    DataFolder(Path(sys.argv[1])).open()
except StartupError as error:
    sys.exit(error.message)
"""


@pytest.mark.parametrize("kind", ["parent", "itself"])
def test_an_unwritable_folder_is_one_sentence(data: Path, run_as_nobody: Run, kind: str) -> None:
    if kind == "itself":
        data.mkdir()
        data.chmod(0o555)
    else:
        data.parent.chmod(0o555)
    done = run_as_nobody(OPEN, data)
    data.parent.chmod(0o755)
    assert done.returncode == 1
    assert done.stderr.startswith(f"the data folder {data} cannot be used by uid ")
    assert "Permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_where_the_folder_belongs_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StartupError, match=r"cannot be used by uid .*File exists"):
        DataFolder(tmp_path / "data").open()


def test_a_short_folder_that_others_may_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders.tempfile, "gettempdir", lambda: "/tmp")
    deep = tmp_path / ("x" * 100)
    with DataFolder(deep) as held:
        run = held.run
        assert run.parent == Path("/tmp")
    assert not run.exists()
    try:
        run.mkdir()
        run.chmod(0o777)
        with pytest.raises(StartupError, match="is not a private folder of uid"):
            DataFolder(deep).open()
        run.rmdir()
        run.symlink_to(tmp_path)
        with pytest.raises(StartupError, match="is not a private folder of uid"):
            DataFolder(deep).open()
    finally:
        run.unlink(missing_ok=True)


def test_a_folder_with_room_for_sockets_needs_no_temp_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a container with a read-only root, whose commands have the URLs of their engines."""

    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(folders.tempfile, "gettempdir", none)
    assert folders.run_folder(Path("/data")) == Path("/data/run")


def test_no_short_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders.tempfile, "gettempdir", lambda: str(tmp_path / ("t" * 100)))
    with pytest.raises(StartupError, match="too long for a unix socket"):
        DataFolder(tmp_path / ("x" * 100))
