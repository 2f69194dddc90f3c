"""Looks at a server on which somebody writes, as the checker does after a soak."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

import redis
from soak.evidence import collect

from cluster_servers import client_of
from eventually import eventually
from triton.settings import Settings
from triton.stack.engines import Engines


def test_the_checker_sees_one_moment_while_an_archiver_moves_messages(
    redis_client: redis.Redis, engines: Engines, namespace: str, tmp_path: Path
) -> None:
    """A trim moves a message out of the log and notes it in the head, in one step: heads that were read
    before it, and messages after it, looked like a head that denied its message."""
    settings = Settings(redis_url=engines.redis_url, namespace=namespace)
    names = [f"{namespace}:still:{n}" for n in range(40)]
    over = Event()
    moves = 0

    def move() -> None:
        nonlocal moves
        with client_of(engines.redis_url) as own:
            while not over.is_set():
                moves += 1
                with own.pipeline(transaction=True) as step:
                    for name in names:
                        step.hset(name, "moves", str(moves))
                    step.execute()

    archiver = Thread(target=move)
    archiver.start()
    try:
        eventually(lambda: moves > 3)
        keys = collect(settings, tmp_path / "journal", tmp_path / "notes").keys
        seen = moves
        eventually(lambda: moves > seen + 2)  # who waited goes on
    finally:
        over.set()
        archiver.join()
    assert keys is not None
    assert len({keys[name].content[b"moves"] for name in names}) == 1
