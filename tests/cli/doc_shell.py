"""Owns running pieces of the documents with bash. `triton` is this process there: that saves its start."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from triton.cli.app import app
from triton.verifier import triton_verify

_CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    env = {{name: value for name, value in os.environ.items() if name.startswith("TRITON_")}}
    server.sendall(json.dumps([sys.argv[1:], os.getcwd(), env]).encode())
    server.shutdown(socket.SHUT_WR)
    out, err, status = json.load(server.makefile())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(status)
"""


class Shell:
    """bash in `folder`, whose path must be short: a socket goes there. What a script sets is gone with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = folder / ".programs"
        self._programs.mkdir(exist_ok=True)
        self._socket = self._programs / "socket"
        client = self._programs / "client.py"
        client.write_text(_CLIENT.format(path=str(self._socket)))
        for name, file in (("triton", str(client)), ("triton-verify", triton_verify.__file__)):
            program = self._programs / name
            begun = shlex.join([sys.executable, "-IS", file])
            program.write_text(f'#!/bin/sh\nexec {begun} "$@"\n')
            program.chmod(0o755)

    def run(self, script: str) -> str:
        """What it printed. Raises AssertionError with it where a command ends with another status than 0."""
        path = (str(self._programs), str(Path(sys.executable).parent), os.environ["PATH"])
        env = {**os.environ, "PATH": os.pathsep.join(path)}
        self._socket.unlink(missing_ok=True)
        said = self.folder / ".said"
        with socket.socket(socket.AF_UNIX) as server, said.open("wb") as output:
            server.bind(str(self._socket))
            server.listen()
            server.settimeout(0.05)
            with subprocess.Popen(
                ["bash", "-euxo", "pipefail", "-c", script],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as bash:
                try:
                    while bash.poll() is None:
                        self._serve(server)
                finally:
                    bash.kill()
        text = said.read_text(errors="replace")
        assert bash.returncode == 0, f"status {bash.returncode} of\n{script}\n\n{text}"
        return text

    def _serve(self, server: socket.socket) -> None:
        try:
            client, _ = server.accept()
        except TimeoutError:
            return
        with client, client.makefile("rw") as channel:
            json.dump(_invoked(*json.load(channel)), channel)


def _invoked(arguments: list[str], folder: str, env: dict[str, str]) -> tuple[str, str, Any]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(app, arguments, prog_name="triton", env=env)
    finally:
        os.chdir(here)
    return done.stdout, done.stderr, done.exit_code
