"""Owns the API of a test as a process of its own, to be killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import msgspec

from triton.settings import Settings

SERVE = """
import sys, msgspec
from triton.api.server import serve
from triton.settings import Settings
settings = msgspec.json.decode(sys.stdin.buffer.read(), type=Settings)
serve(settings, on_ready=lambda url: print(url, flush=True))
"""


@contextlib.contextmanager
def process(settings: Settings) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The API as a process of its own; the URL that it said when it was ready."""
    child = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ),
    )
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(msgspec.json.encode(settings))
        child.stdin.close()
        yield child, child.stdout.readline().decode().strip()
    finally:
        child.kill()
        child.wait()
