"""Owns the other way to follow jobs: clients that ask for one each, once a second.

    python -m bench.live.polling PORT CLIENTS PATH

`{}` in PATH is the client's number. It polls from the start; lines on stdin are commands: `mark` zeroes the
counters, `report` answers them as one line of JSON, and the end of stdin ends the process. Each client keeps
its connection. How old what is new is when it is seen is told by its `t:NANOSECONDS~` of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time

from bench.table import percentile

#: Seconds between two requests of a client.
EVERY = 1.0
_STAMP = re.compile(rb"t:(\d+)~")
_LENGTH = re.compile(rb"content-length: (\d+)", re.I)


class Polls:
    def __init__(self, port: int, clients: int, path: str) -> None:
        self._port = port
        self._clients = clients
        self._path = path
        self.mark()

    def mark(self) -> dict[str, float]:
        self.requests = 0
        self.ages: list[int] = []
        return {}

    def report(self) -> dict[str, float]:
        found = sorted(self.ages)
        return {
            "requests": self.requests,
            "seen": len(found),
            "p50": percentile(found, 50) / 1e6 if found else -1,
        }

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        path = self._path.replace("{}", str(number))
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        loop = asyncio.get_running_loop()
        # At no time that has to do with when its job makes progress.
        await asyncio.sleep(random.uniform(0, EVERY))
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        seen, due = b"", loop.time()
        while True:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"refused: {head[:200]!r}")
            length = _LENGTH.search(head)
            assert length is not None
            body = await reader.readexactly(int(length[1]))
            self.requests += 1
            stamp = _STAMP.search(body)
            if stamp is not None and stamp[1] != seen:
                seen = stamp[1]
                self.ages.append(time.monotonic_ns() - int(seen))
            due += EVERY
            await asyncio.sleep(due - loop.time())


async def main() -> None:
    port, clients, path = sys.argv[1:]
    polls = Polls(int(port), int(clients), path)
    polling = asyncio.create_task(polls.run())
    commands = {"mark": polls.mark, "report": polls.report}
    while line := await asyncio.to_thread(sys.stdin.readline):
        if polling.done():
            polling.result()
        print(json.dumps(commands[line.strip()]()), flush=True)
    polling.cancel()


if __name__ == "__main__":
    asyncio.run(main())
