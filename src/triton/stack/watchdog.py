"""Owns the end of the children when their supervisor died without stopping them (kill -9, a crash).

Run as a script by `triton.stack.orphans`, on the standard library alone. Standard input is a pipe
whose other end only the supervisor holds; each line is `+GROUP SIGNAL` or `-GROUP`. Its end means
that the supervisor is gone, in whatever way.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

POLL = 0.05


def listen(groups: dict[int, int]) -> None:
    """Keeps `groups` (process group -> stop signal) true until the supervisor is gone."""
    supervisor = os.getppid()
    rest = b""
    while True:
        # The parent is looked at too: something forked from the supervisor may hold the pipe open.
        if select.select([0], [], [], 0.5)[0]:
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"+"):
                    group, number = line[1:].split()
                    groups[int(group)] = int(number)
                else:
                    groups.pop(int(line[1:]), None)
        elif os.getppid() != supervisor:
            return


def signal_group(group: int, number: int) -> bool:
    """False when the group has no member left; its number is then never used again."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main() -> None:
    grace = float(sys.argv[1])
    # A terminal's ctrl-C must not end the one who cleans up.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    listen(groups)
    groups = {group: stop for group, stop in groups.items() if signal_group(group, stop)}
    deadline = time.monotonic() + grace
    while groups and time.monotonic() < deadline:
        time.sleep(POLL)
        groups = {group: stop for group, stop in groups.items() if signal_group(group, 0)}
    for group in groups:
        signal_group(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
