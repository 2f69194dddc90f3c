"""Owns clients of every kind that follow a stream, are killed at random and come back by cursor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
from sse_reader import Subscriber

from triton.client import AsyncClient, Client
from triton.client.targets import Target, opening_of

#: Seconds that a silent connection is waited on by those that know nothing of Triton.
QUIET = 5.0
SCRIPTS = Path(__file__).parents[1] / "js"


class Follower(ABC):
    """Collects the JSON of the events that it is sent, session by session; `stop` ends it."""

    #: Whether it tells the very bytes of an event.
    exact = True

    def __init__(self, url: str, target: Target, seed: int) -> None:
        self.url = url
        self.target = target
        self.chance = random.Random(seed)
        self.got: list[str] = []
        self.cursor = ""
        self.sessions = 0
        self.over = False
        self.resets: list[str] = []
        self.problem: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        opening = opening_of(target, "earliest")
        self.path = f"{url}/api/v1{opening.path}"
        self.params = {"from": "earliest", **opening.params}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        deadline = time.monotonic() + 60
        while self._thread.is_alive() and time.monotonic() < deadline:
            # Again and again: between two sessions there is nothing to wake.
            self.wake()
            self._thread.join(timeout=0.2)
        assert not self._thread.is_alive(), f"{self} does not end"

    @property
    def ended(self) -> bool:
        """Whether it will get nothing more."""
        return self.over or self.problem is not None

    def wake(self) -> None:  # noqa: B027
        """End the session that waits; those of a quiet second end by themselves."""

    @abstractmethod
    def session(self, left: int) -> None:
        """One life of the client: from the cursor on, up to `left` events, or until it is cut."""

    def took(self, data: str, cursor: str) -> None:
        """An event is handled now."""
        self.got.append(data)
        self.cursor = cursor
        if self.chance.random() < 0.05:
            # Slow enough to fall off a small ring.
            time.sleep(0.05)

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and not self.over:
                self.sessions += 1
                self.session(self.chance.randint(1, 60))
        except BaseException as error:
            self.problem = error


class Threaded(Follower):
    """Ours, for threads."""

    def session(self, left: int) -> None:
        with Client(self.url) as client:
            self._following = client.subscribe(
                self.target,
                from_=self.cursor or "earliest",
                patience=None,
                on_reset=self.resets.append,
            )
            with self._following as following:
                for message in following.messages():
                    self.cursor = following.cursor
                    if message.event == "message":
                        self.took(message.data, following.cursor)
                        left -= 1
                    if self._stop.is_set() or not left:
                        return
                    if self.chance.random() < 0.02:
                        following.cut()
                self.over = following.over

    def wake(self) -> None:
        # Before the first session there is none.
        with contextlib.suppress(AttributeError):
            self._following.close()


class Asynchronous(Follower):
    """Ours, for asyncio."""

    def session(self, left: int) -> None:
        asyncio.run(self._session(left))

    async def _session(self, left: int) -> None:
        async with (
            AsyncClient(self.url) as client,
            client.subscribe(
                self.target,
                from_=self.cursor or "earliest",
                patience=None,
                on_reset=self.resets.append,
            ) as following,
        ):
            loop = asyncio.get_running_loop()
            self._wake = lambda: loop.call_soon_threadsafe(following.close)
            async for message in following.messages():
                self.cursor = following.cursor
                if message.event == "message":
                    self.took(message.data, following.cursor)
                    left -= 1
                if self._stop.is_set() or not left:
                    return
                if self.chance.random() < 0.02:
                    following.cut()
            self.over = following.over

    def wake(self) -> None:
        # Between two sessions there is no loop.
        with contextlib.suppress(RuntimeError, AttributeError):
            self._wake()


class Bare(Follower):
    """What the standard says and nothing of Triton: header, ids, retry by itself."""

    def session(self, left: int) -> None:
        try:
            self._read(left)
        except httpx.HTTPError:
            time.sleep(0.02)

    def _read(self, left: int) -> None:
        url = f"{self.path}?{httpx.QueryParams(self.params)}"
        with Subscriber(url, cursor=self.cursor or None, timeout=QUIET) as stream:
            if stream.status == 204:
                self.over = True
                return
            assert stream.status == 200, stream.response.read()
            for event in stream:
                left -= self._saw(event.name, event.data, event.id)
                if self._stop.is_set() or self.over or not left:
                    return

    def _saw(self, name: str, data: str, cursor: str) -> int:
        """What a session does with any event; whether it was one of the log."""
        self.cursor = cursor or self.cursor
        if name == "triton.reset":
            self.resets.append(json.loads(data)["reason"])
        if name == "triton.end":
            self.over = True
        if name in ("", "message"):
            self.took(data, self.cursor)
            return 1
        return 0


class HttpxSse(Bare):
    """The package httpx-sse."""

    def _read(self, left: int) -> None:
        headers = {"Last-Event-ID": self.cursor} if self.cursor else {}
        with (
            httpx.Client(timeout=QUIET, verify=False) as client,
            httpx_sse.connect_sse(
                client, "GET", self.path, params=self.params, headers=headers
            ) as source,
        ):
            if source.response.status_code == 204:
                self.over = True
                return
            for event in source.iter_sse():
                left -= self._saw(event.event, event.data, event.id)
                if self._stop.is_set() or self.over or not left:
                    return


class InNode(Follower):
    """A process of Node that is killed now and then, and says a line of JSON for each thing that it sees."""

    _process: subprocess.Popen[str] | None = None

    def session(self, left: int) -> None:
        left *= 5
        self._process = subprocess.Popen(
            ["node", *self.command()], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        with self._process:
            for line in self._process.stdout:
                # The last one may be half of one.
                if not line.endswith("\n"):
                    break
                left -= self.heard(json.loads(line))
                if self._stop.is_set() or self.over or left <= 0:
                    break
            self._process.kill()

    @abstractmethod
    def command(self) -> list[str]:
        """What Node is to run."""

    @abstractmethod
    def heard(self, told: dict[str, Any]) -> int:
        """How many events were handled with this line."""

    def wake(self) -> None:
        if self._process is not None:
            self._process.kill()


class EventSourcePackage(InNode):
    """The npm package `eventsource`: it comes back by itself while its process lives."""

    def __init__(self, url: str, target: Target, seed: int, modules: Path) -> None:
        super().__init__(url, target, seed)
        self._modules = modules

    def command(self) -> list[str]:
        cursor = {"last_event_id": self.cursor} if self.cursor else {}
        url = f"{self.path}?{httpx.QueryParams({**self.params, **cursor})}"
        return [str(SCRIPTS / "eventsource.mjs"), str(self._modules), url]

    def heard(self, told: dict[str, Any]) -> int:
        self.cursor = told["id"] or self.cursor
        if told["event"] == "triton.reset":
            self.resets.append(told["data"])
        self.over = told["event"] == "triton.end"
        if told["event"] != "message":
            return 0
        self.took(told["data"], self.cursor)
        return 1


class JavaScript(InNode):
    """Ours for JavaScript. An event counts when its cursor does; it is told as an object."""

    exact = False
    _unhandled: dict[str, Any] | None = None

    def command(self) -> list[str]:
        self._unhandled = None
        return [str(SCRIPTS / "killed.mjs"), self.url, json.dumps(self.params), self.cursor]

    def heard(self, told: dict[str, Any]) -> int:
        if "reset" in told:
            self.resets.append(told["reset"])
        self.over = "end" in told
        if "event" in told:
            self._unhandled = told["event"]
        if "cursor" not in told:
            return 0
        self.cursor = told["cursor"]
        if self._unhandled is None:
            return 0
        self.took(json.dumps(self._unhandled), self.cursor)
        self._unhandled = None
        return 1
