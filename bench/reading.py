"""Owns the cost of the past: reading a long history from its archive, one job of it, and one instant.

Beside the whole stands unpacking the same segments and nothing more. It is measured in CPU time. One job is
found without PostgreSQL; what it reads is counted.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from bench import history
from bench.scale import Scale
from bench.servers import valkey
from bench.table import Goal, Measure, Sample, lines
from triton import keys
from triton.archive import ArchiveStore, open_archive
from triton.audit.instants import Cut
from triton.audit.timeline import Chosen, jobs_at
from triton.events.client import connect_async
from triton.events.entries import Page, page_of
from triton.events.envelope import AT, JOB
from triton.evidence import layout, segment
from triton.evidence.layout import Tree
from triton.history import History, Past

NAMESPACE = "bench"
TREE = Tree(NAMESPACE, 0, "bench")
#: Events of the log that is repeated under other names of jobs until the history is long, and of a segment.
STRETCH = 50_000
SEGMENT = 100_000
PAGE = 500
JOBS = 20
#: Events before the instant at which all jobs are listed.
LISTED = 1_000_000
MEASURES = (
    Measure("read the whole past", "events/s", "whole", "unpack"),
    Measure(
        "segments with a block read, one job",
        "segments",
        "segments",
        goal=Goal("figure", "at most", 2),
    ),
    Measure("blocks read, one job", "blocks", "blocks", digits=1),
    Measure("one job, first time (all footers)", "ms", "first", digits=1),
    Measure("one job, later", "ms", "job", digits=1),
    Measure("the position of a time", "ms", "instant", digits=1),
    Measure("all queues, and who had failed, as of an instant (audit at)", "events/s", "states"),
)


class Counted:
    """An archive that notes which blocks are read."""

    def __init__(self, store: ArchiveStore, sizes: dict[str, int]) -> None:
        self._store = store
        self._sizes = sizes
        self.blocks: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        if offset + size < self._sizes[key]:
            self.blocks.append(key)
        return self._store.read_range(key, offset, size)


def run(scale: Scale) -> list[str]:
    with tempfile.TemporaryDirectory() as folder, valkey(tcp=scale.tcp) as server:
        store = open_archive(Path(folder).as_uri())
        history.write(server.client, NAMESPACE, STRETCH)
        jobs, times = archive(server.client, store, scale.past)
        sizes = {key: store.size(key) for key in store.list(layout.segments(TREE))}
        ours, beside = [], []
        for turn in range(scale.repeats):
            ours.append(asyncio.run(ask(server.url, Counted(store, sizes), jobs, times, turn)))
            beside.append(unpack(store, list(sizes), scale.past))
    return lines(MEASURES, ours, beside, "unpacking alone")


def archive(
    client: redis.Redis, store: ArchiveStore, events: int
) -> tuple[Sequence[str], Sequence[int]]:
    """So many events in segments; the log ends behind them, and holds none. Answers jobs and times of it."""
    stream = keys.log(keys.prefix(NAMESPACE, 0))
    raw: Any = client.xrange(stream, count=STRETCH)
    stretch = page_of(0, 0, raw)
    span = int(stretch.columns[AT][-1]) - int(stretch.columns[AT][0]) + 1
    jobs, times = [], []
    chance = random.Random(3)
    for begin in range(0, events, SEGMENT):
        writer = segment.Writer(0, TREE.epoch, level=1)
        for after in range(begin, begin + SEGMENT, STRETCH):
            page = again(stretch, after, span)
            writer.add(page)
            jobs.append(page.columns[JOB][chance.randrange(STRETCH)].decode())
            times.append(int(page.columns[AT][chance.randrange(STRETCH)]))
        made = writer.finish()
        key = layout.segment(TREE, begin + 1, begin + SEGMENT)
        store.put_new(key, made.data)
        store.put_new(layout.manifest_of(key), b"{}")
    client.execute_command("XTRIM", stream, "MAXLEN", "0")
    client.hset(keys.meta(keys.prefix(NAMESPACE, 0)), "pos", events)
    return jobs, times


def again(stretch: Page, after: int, span: int) -> Page:
    """The same events later, of other jobs."""
    number = after // STRETCH
    columns = list(stretch.columns)
    columns[JOB] = [job + b"-%d" % number for job in columns[JOB]]
    columns[AT] = [b"%d" % (int(at) + span * number) for at in columns[AT]]
    return Page(0, range(after + 1, after + 1 + stretch.size), columns)


async def ask(
    url: str, store: Counted, jobs: Sequence[str], times: Sequence[int], turn: int
) -> Sample:
    chance = random.Random(turn)
    async with connect_async(url) as client:
        log = History(client, NAMESPACE, [TREE.epoch], Past(lambda: store))  # type: ignore[arg-type,return-value]
        begin = time.perf_counter()
        assert [event async for event in log.job(chance.choice(jobs))]
        first = time.perf_counter() - begin
        blocks, segments, seconds = [], [], []
        for job in chance.choices(jobs, k=JOBS):
            store.blocks.clear()
            begin = time.perf_counter()
            assert [event async for event in log.job(job)]
            seconds.append(time.perf_counter() - begin)
            blocks.append(len(store.blocks))
            segments.append(len(set(store.blocks)))
        begin = time.perf_counter()
        for at in times[:JOBS]:
            await log.position_at(0, at)
        instant = (time.perf_counter() - begin) / min(JOBS, len(times))
        events, cpu = 0, time.process_time()
        async for page in log.pages(0):
            events += page.size
        cpu = time.process_time() - cpu
        until = min(events, LISTED)
        fold = time.process_time()
        cut = Cut(text="then", at=0, positions=(until,), expired=(0,))
        listed = await jobs_at(log, cut, Chosen(status="failed"), limit=100)
        fold = time.process_time() - fold
    assert listed.events == until
    assert events == len(times) * STRETCH
    return {
        "whole": events / cpu,
        "segments": max(segments),
        "blocks": max(blocks),
        "first": first * 1000,
        "job": sum(seconds) / JOBS * 1000,
        "instant": instant * 1000,
        "states": until / fold,
    }


def unpack(store: ArchiveStore, names: Sequence[str], events: int) -> Sample:
    begin = time.process_time()
    for name in names:
        if layout.range_of(name) is not None:
            for _ in segment.read_all(store.read(name)):
                pass
    return {"unpack": events / (time.process_time() - begin)}
