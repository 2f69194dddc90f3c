"""Owns the Valkey of a test session: the wheel's server below a temporary folder, nothing else beside it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triton.stack.folder import DataFolder
from triton.stack.processes import Supervisor
from triton.stack.valkey import Valkey


@contextmanager
def valkey() -> Iterator[str]:
    """The URL of a Valkey that lives as long as the context. Use it from the main thread.

    Raises StartupError where the wheel is missing: install triton-jobs[embedded], or run the tests on a
    server of your own.
    """
    home = Path(tempfile.mkdtemp(prefix="triton-"))
    folder = DataFolder(home)
    try:
        with folder:
            supervisor = Supervisor(folder.logs)
            supervisor.inherit = (folder.lock_fd,)
            try:
                server = Valkey(folder, supervisor)
                server.start()
                yield server.url
            finally:
                supervisor.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
