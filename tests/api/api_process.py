"""Owns the API of a test as a process of its own, to be killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import msgspec

from triton.api.services import FeedOptions
from triton.settings import Settings

#: It begins as `triton api` does, which looks for garbage seldom while it imports.
SERVE = """
import gc, sys, msgspec
gc.set_threshold(50_000)
from triton.api.server import listen, make_server, serve
from triton.api.services import FeedOptions
from triton.settings import Settings
settings, feed = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[Settings, FeedOptions | None])
say = lambda url: print(url, flush=True)
if feed is None:
    serve(settings, on_ready=say)
else:
    listener = listen(settings.host, settings.port, settings.client_timeout_ms)
    url = "http://%s:%d" % listener.getsockname()
    make_server(settings, feed=feed, on_ready=lambda: say(url)).run(sockets=[listener])
"""


@contextlib.contextmanager
def process(
    settings: Settings, feed: FeedOptions | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
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
        child.stdin.write(msgspec.json.encode((settings, feed)))
        child.stdin.close()
        url = child.stdout.readline().decode().strip()
        # Its log goes there too: a pipe that nobody reads would stop it once it is full.
        threading.Thread(target=child.stdout.read, daemon=True).start()
        yield child, url
    finally:
        child.kill()
        child.wait()
