"""Owns the two dispatch structures behind one face: submit, claim, finish, and waiting while idle."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib import resources
from typing import Any, Literal, NamedTuple, TypeAlias

import redis

from triton.submit import job_id_for

Name: TypeAlias = Literal["streams", "sets"]
QUEUE, TENANT, WORKER, GROUP = "default", "default", "host-1-4242-a1b2c3", "w"
LEASE_MS = 600_000
PREFIX = "{dispatch}:"
#: Script calls of one round trip: the figures are the scripts' and not the network's.
DEPTH = 32
STARTED = b"\x81\xa6worker\xb2host-1-4242-a1b2c3"
COMPLETED = b"\x81\xa6result\xc0"
#: A Dramatiq message of a no-op actor, and the data of its job.submitted.
BODY = (
    b'{"queue_name":"default","actor_name":"app.tasks.noop","args":[123456.789],"kwargs":{},'
    b'"options":{},"message_id":"%b","message_timestamp":1790000000000}'
)


class Held(NamedTuple):
    job: str
    attempt: int


class Variant:
    """One of the structures on a fresh server."""

    def __init__(self, name: Name, client: redis.Redis) -> None:
        self.name = name
        self._client = client
        self._numbers = itertools.count()
        self._shas = {
            script: client.script_load(source(name, script))
            for script in ("submit", "claim", "finish")
        }
        if name == "streams":
            client.xgroup_create(PREFIX + "ready:" + QUEUE, GROUP, "0", mkstream=True)

    def submit(self, jobs: int, batch: int) -> None:
        calls = []
        for start in range(0, jobs, batch):
            args: list[bytes | str | int] = [QUEUE, TENANT]
            for _ in range(min(batch, jobs - start)):
                job = job_id_for("dispatch", str(next(self._numbers)))
                body = BODY % job.encode()
                args += [job, b"\x82\xa5actor\xaeapp.tasks.noop\xa4body\xc4" + body, body, 0]
            calls.append(("submit", args))
        self._send(calls)

    def claim(self, jobs: int, batch: int, taken: tuple[str, str] = ("", "")) -> list[Held]:
        args: list[bytes | str | int] = [QUEUE, WORKER, LEASE_MS, batch, STARTED]
        if self.name == "streams":
            args += taken
        replies = self._send([("claim", args)] * -(-jobs // batch))
        return [Held(job[0].decode(), job[1]) for reply in replies for job in reply]

    def finish(self, held: Sequence[Held], batch: int) -> None:
        calls = []
        for start in range(0, len(held), batch):
            args: list[bytes | str | int] = [QUEUE, WORKER]
            for job, attempt in held[start : start + batch]:
                args += [job, attempt, COMPLETED]
            calls.append(("finish", args))
        answers = [answer for reply in self._send(calls) for answer in reply]
        assert answers == [b"ok"] * len(held), "a finish was refused"

    def look_for_dead(self, times: int) -> None:
        """What recovery asks of the server where nobody is dead: the leases that are over."""
        with self._client.pipeline(transaction=False) as pipe:
            for _ in range(times):
                if self.name == "sets":
                    pipe.zrangebyscore(PREFIX + "leases:" + QUEUE, "-inf", 1, start=0, num=100)
                else:
                    key = PREFIX + "ready:" + QUEUE
                    pipe.xautoclaim(key, GROUP, WORKER, LEASE_MS, start_id="0-0", count=100)
            pipe.execute()

    def wait_and_claim(self, client: redis.Redis) -> list[Held]:
        """Block as an idle worker does, then claim: two round trips."""
        if self.name == "sets":
            client.blpop([PREFIX + "bell:" + QUEUE], timeout=5)
            return self.claim(1, 1)
        read: Any = client.xreadgroup(
            GROUP, WORKER, {PREFIX + "ready:" + QUEUE: ">"}, count=1, block=5000
        )
        if not read:
            return []
        place, fields = read[0][1][0]
        return self.claim(1, 1, (place.decode(), fields[b"j"].decode()))

    def _send(self, calls: Sequence[tuple[str, list[bytes | str | int]]]) -> list[Any]:
        replies: list[Any] = []
        for start in range(0, len(calls), DEPTH):
            with self._client.pipeline(transaction=False) as pipe:
                for script, args in calls[start : start + DEPTH]:
                    pipe.execute_command(
                        "EVALSHA", self._shas[script], 1, PREFIX + "log", PREFIX, *args
                    )
                replies += pipe.execute()
        return replies


def source(name: Name, script: str) -> str:
    folder = resources.files("bench.dispatch")
    text = (
        folder.joinpath("shared.lua").read_text()
        + folder.joinpath(f"{name}/{script}.lua").read_text()
    )
    return "#!lua\n" + text
