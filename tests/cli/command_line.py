"""Owns how tests run the command line: a folder for it, the stack as a process, commands in this process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import Result

from eventually import eventually
from triton.stack.folder import RunningStack, running_stack

HERE = Path(__file__).parent
Invoke = Callable[..., Result]


@contextmanager
def passable(prefix: str) -> Iterator[Path]:
    """A folder whose path is short, for a socket, and that every user may pass through: as root, PostgreSQL
    runs as nobody."""
    made = Path(tempfile.mkdtemp(prefix=prefix))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Up:
    """`triton up` as a process on a folder of its own."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        env = {name: value for name, value in os.environ.items() if not name.startswith("TRITON_")}
        env["PYTHONPATH"] = os.pathsep.join((str(HERE), *filter(None, [env.get("PYTHONPATH")])))
        env["TRITON_MODULES"] = "triton.handlers,cli_actors,documented_actors"
        env["TRITON_NAMESPACE"], env["TRITON_PARTITIONS"] = "up.test", "2"
        self.health = data.with_suffix(".health")
        env["TRITON_HEALTH"] = str(self.health)
        self.said = data.with_suffix(".log")
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "triton",
                    "up",
                    "--data",
                    str(data),
                    "--port",
                    "0",
                    *options,
                ],
                env=env,
                cwd=data.parent,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def running(self) -> RunningStack:
        """Waits until it runs."""

        def published() -> RunningStack | None:
            if self.process.poll() is not None:
                raise RuntimeError(f"triton up ended: {self.said.read_text()}")
            return running_stack(self.data)

        return eventually(published, timeout=60.0)

    def api(self) -> int:
        """The process of its API, as soon as it is up again."""

        def found() -> list[int]:
            below = descendants(self.process.pid)
            return [pid for pid, line in below.items() if line.endswith(" api ")]

        (pid,) = eventually(lambda: one if len(one := found()) == 1 else None) or ()
        return pid

    def end(self, number: int = signal.SIGINT) -> int:
        """Its exit status, within the time that the stop may take."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)


class Commands:
    """Commands on the shared stack."""

    def __init__(self, invoke: Invoke, data: Path) -> None:
        self._invoke = invoke
        self.data = data

    def run(self, *arguments: str, status: int = 0, input: str | None = None) -> Result:  # noqa: A002
        """Runs one that must end with `status`."""
        result = self._invoke(*arguments, env={"TRITON_DATA": str(self.data)}, input=input)
        assert result.exit_code == status, result.output
        return result

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status).stdout)

    def submit(self, actor: str, *arguments: str) -> str:
        """The id of a new job."""
        return str(self.json("submit", actor, *arguments)["id"])

    def ended(self, actor: str, *arguments: str) -> str:
        """The id of a new job that has ended, whichever way."""
        job = self.submit(actor, *arguments)
        result = self._invoke("watch", job, env={"TRITON_DATA": str(self.data)})
        assert result.exit_code in (0, 1), result.output
        return job


def descendants(pid: int) -> dict[int, str]:
    """The processes below one, with their command lines."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found: dict[int, str] = {}
    waiting = list(children.get(pid, ()))
    while waiting:
        one = waiting.pop()
        found[one] = command_line(one)
        waiting += children.get(one, ())
    return found


def command_line(pid: int) -> str:
    """Empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
