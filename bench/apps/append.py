"""Owns the process that only appends: `python -m bench.apps.append URL FILE BATCH`.

FILE holds a msgpack list of entries (flat lists name, value, ...). Each goes to the stream `bare` with
XADD, BATCH of them in a round trip. Waits for a line on stdin, then prints one JSON object: entries, wall
seconds, its own CPU seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from bench.apps.produce import Produced
from triton.events.client import connect


def main(url: str, file: str, batch: int) -> None:
    entries = msgspec.msgpack.decode(Path(file).read_bytes(), type=list[list[bytes]])
    client = connect(url)
    client.ping()
    print("ready", flush=True)
    sys.stdin.readline()
    wall, cpu = time.monotonic(), time.process_time()
    for start in range(0, len(entries), batch):
        with client.pipeline(transaction=False) as pipe:
            for entry in entries[start : start + batch]:
                pipe.execute_command("XADD", "bare", "*", *entry)
            pipe.execute()
    done = Produced(len(entries), time.monotonic() - wall, time.process_time() - cpu)
    print(msgspec.json.encode(done).decode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
