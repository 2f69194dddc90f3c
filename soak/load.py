"""Owns the load's process: it submits jobs of all kinds for a while, at a steady rate."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import dramatiq
import httpx

from soak.kinds import QUEUE, SLOW
from soak.records import Journal
from triton import TritonBroker, settings

#: Seconds from which on there is time for a job that kills its worker again and again.
_LONG = 120


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m soak.load", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, required=True, help="operations per second at most")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--proxy", required=True)
    parser.add_argument("--api", required=True)
    given = parser.parse_args()
    direct, proxied = TritonBroker(), TritonBroker(url=given.proxy)
    for broker in (direct, proxied):
        for queue in (QUEUE, SLOW):
            broker.declare_queue(queue)
    dramatiq.set_broker(direct)
    # Not above: actors belong to the broker that is set when they are declared.
    from soak.operations import Load

    with httpx.Client(base_url=given.api, timeout=5.0, trust_env=False) as api:
        load = Load(
            given.seed, Journal(given.journal), [direct, proxied], api, settings.load().database_url
        )
        load.kill_workers(poison=given.seconds >= _LONG)
        begun = time.monotonic()
        for number in range(int(given.seconds * given.rate)):
            if time.monotonic() - begun > given.seconds:
                break
            load.step()
            ahead = begun + (number + 1) / given.rate - time.monotonic()
            time.sleep(max(0.0, ahead))
        load.release()


if __name__ == "__main__":
    main()
