"""Supervision: restarts, ordered stops, stubborn children, and the end of the supervisor itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.eventually import eventually

from triton.errors import StartupError
from triton.settings import Settings
from triton.stack import processes, watchdog
from triton.stack.processes import Exit, Spec, Supervisor
from triton.stack.up import Stack

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
SLEEP = "import time; print('ready', flush=True); time.sleep(600)"


def python(name: str, code: str, **fields: object) -> Spec:
    return Spec(name=name, argv=(sys.executable, "-S", "-c", code), **fields)  # type: ignore[arg-type]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    running = Supervisor(tmp_path)
    yield running
    running.stop(timeout=1)


def test_more_of_a_role_are_processes_of_their_own(tmp_path: Path) -> None:
    several = {f"{role}_processes": 2 for role in ("api", "projector", "archiver")}
    roles = Stack(Settings(data=str(tmp_path), worker_processes=0, **several)).roles(9)
    names = ["api", "api-2", "projector", "projector-2", "archiver", "archiver-2"]
    assert [role.name for role in roles] == names
    assert [role.fds for role in roles] == [(9,)] * 2 + [()] * 4


def said(supervisor: Supervisor, name: str) -> str:
    return (supervisor.logs / f"{name}.log").read_text()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_log_that_grows_large_begins_anew_while_its_process_runs(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT_BYTES", 1000)
    monkeypatch.setattr(processes, "LOG_SECONDS", 0.0)
    code = "import time\nfor n in range(10**6): print(n, flush=True); time.sleep(0.001)"
    child = supervisor.spawn(python("talks", code))

    def twice() -> bool:
        supervisor.poll()
        numbers = said(supervisor, "talks").split()
        return bool(numbers) and int(numbers[0]) > 500

    eventually(twice)
    assert (supervisor.logs / "talks.log.1").stat().st_size > 1000

    def small() -> bool:
        """Also where it talked on while nobody looked."""
        supervisor.poll()
        return len(said(supervisor, "talks")) < 10_000

    eventually(small)
    assert "\0" not in said(supervisor, "talks"), "it appends at the new end"
    assert child.running()


def test_a_child_that_dies_starts_again_each_time_later(supervisor: Supervisor) -> None:
    supervisor.spawn(python("dies", "import sys; print('alas'); sys.exit(7)"))
    exits: list[Exit] = []

    def three() -> bool:
        exits.extend(supervisor.poll())
        return len(exits) >= 3

    eventually(three)
    assert [ended.status for ended in exits] == [7, 7, 7]
    assert [ended.restart_in for ended in exits] == [0.25, 0.5, 1.0]
    assert not exits[0].clean
    assert "status 7: alas; it starts again in 0.25 s; see " in str(exits[0])
    assert str(exits[0]).endswith("dies.log")
    assert said(supervisor, "dies") == "alas\n" * 3


def test_a_child_without_restart_is_reported_once(supervisor: Supervisor) -> None:
    seen: list[Exit] = []
    supervisor.on_exit = seen.append
    supervisor.spawn(python("once", "raise SystemExit(3)", restart=False))
    eventually(supervisor.poll)
    assert supervisor.poll() == []
    assert [(ended.name, ended.status, ended.restart_in) for ended in seen] == [("once", 3, None)]


def test_what_a_dead_child_forked_is_ended_before_its_successor(supervisor: Supervisor) -> None:
    code = STUBBORN + "import os; print(os.fork(), flush=True); " + SLEEP
    child = supervisor.spawn(python("forks", code))
    eventually(lambda: said(supervisor, "forks").count("ready") == 2)
    grandchild = max(int(line) for line in said(supervisor, "forks").splitlines() if line.isdigit())
    os.kill(child.pid, signal.SIGKILL)
    eventually(supervisor.poll)
    eventually(lambda: gone(grandchild))


def test_stages_stop_from_the_highest_and_the_stubborn_are_killed(supervisor: Supervisor) -> None:
    polite = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); " + SLEEP
    supervisor.spawn(python("engine", polite, stage=0))
    supervisor.spawn(python("role", polite, stage=1))
    supervisor.spawn(python("stubborn", STUBBORN + SLEEP, stage=1, grace=0.3))
    for name in ("engine", "role", "stubborn"):
        eventually(lambda name=name: said(supervisor, name) == "ready\n")
    exits = supervisor.stop()
    assert [(ended.name, ended.status, ended.clean) for ended in exits] == [
        ("role", 0, True),
        ("stubborn", -signal.SIGKILL, False),
        ("engine", 0, True),
    ]


def test_a_program_that_is_not_there_is_a_startup_error(supervisor: Supervisor) -> None:
    with pytest.raises(StartupError, match="ghost could not be run"):
        supervisor.spawn(Spec(name="ghost", argv=("/no/such/program",)))
    assert supervisor.children == {}


def test_one_name_is_one_child(supervisor: Supervisor) -> None:
    supervisor.spawn(python("one", SLEEP))
    with pytest.raises(StartupError, match="one runs already"):
        supervisor.spawn(python("one", SLEEP))


def test_the_kernel_ends_a_child_whose_supervisor_and_watchdog_were_killed(tmp_path: Path) -> None:
    sleeper = "(sys.executable, '-S', '-c', 'import time; time.sleep(600)')"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from triton.stack.processes import Spec, Supervisor\n"
        "s = Supervisor(Path(sys.argv[1]))\n"
        f"c = s.spawn(Spec(name='c', argv={sleeper}))\n"
        "s._watchdog._process.kill()\n"
        "print(c.pid, flush=True); time.sleep(600)\n"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    child = int(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.wait()
    eventually(lambda: gone(child))


def test_the_watchdog_ends_whole_groups_also_when_they_ignore_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    forking = STUBBORN + "import os; print(os.fork(), flush=True); " + SLEEP
    with log.open("wb") as out:
        forks = subprocess.Popen(
            [sys.executable, "-S", "-c", forking], stdout=out, start_new_session=True
        )
    spared = subprocess.Popen(
        [sys.executable, "-S", "-c", SLEEP], stdout=subprocess.PIPE, start_new_session=True
    )
    eventually(lambda: log.read_text().count("ready") == 2)
    grandchild = max(int(line) for line in log.read_text().splitlines() if line.isdigit())
    guard = subprocess.Popen(
        [sys.executable, watchdog.__file__, "0.2"], stdin=subprocess.PIPE, start_new_session=True
    )
    assert guard.stdin is not None
    term = int(signal.SIGTERM)
    guard.stdin.write(f"+{forks.pid} {term}\n+{spared.pid} {term}\n-{spared.pid}\n".encode())
    guard.stdin.flush()
    assert not gone(grandchild)
    guard.stdin.close()
    assert guard.wait(timeout=60) == 0
    assert forks.wait(timeout=60) == -signal.SIGKILL
    eventually(lambda: gone(grandchild))
    assert spared.poll() is None
    spared.kill()
    spared.communicate()


def watchdogs(supervisor: Supervisor) -> list[psutil.Process]:
    """Those that live, of this supervisor: a test before may have left its own a moment."""
    process = supervisor._watchdog._process
    assert process is not None
    return [] if gone(process.pid) else [psutil.Process(process.pid)]


def test_a_killed_watchdog_is_replaced_while_nothing_else_happens(supervisor: Supervisor) -> None:
    supervisor.spawn(python("sleeper", SLEEP))
    (guard,) = watchdogs(supervisor)
    guard.kill()

    def another() -> bool:
        supervisor.poll()
        return [one.pid for one in watchdogs(supervisor)] not in ([], [guard.pid])

    eventually(another)


def test_a_watchdog_that_was_stopped_holds_up_no_end(supervisor: Supervisor) -> None:
    child = supervisor.spawn(python("sleeper", SLEEP))
    (guard,) = watchdogs(supervisor)
    guard.suspend()
    ending = threading.Thread(target=supervisor.stop, daemon=True)
    ending.start()
    ending.join(60)
    held_up = ending.is_alive()
    if held_up:
        guard.resume()
    assert not held_up
    assert gone(child.pid)
    assert gone(guard.pid)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (["{}", "triton: no such module", '{"event": "bye"}'], "no such module"),
        (["error: no such folder", "and a stray line"], "no such folder"),
        (['{"event": "a line that a cut goes through"}'] * 200, ""),
    ],
)
def test_the_reason_is_a_sentence_and_not_the_log_around_it(
    supervisor: Supervisor, said: list[str], reason: str
) -> None:
    seen: list[Exit] = []
    supervisor.on_exit = seen.append
    told = f"print(*{said}, sep='\\n', flush=True)"
    supervisor.spawn(python("tells", f"{told}; raise SystemExit(1)", restart=False))
    eventually(supervisor.poll)
    assert seen[0].words == reason
