"""Nothing lost, shown: whatever dies, each client's joined sequence is its filter over the log, exactly."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from followers import (
    Asynchronous,
    Bare,
    EventSourcePackage,
    Follower,
    HttpxSse,
    JavaScript,
    Threaded,
)
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from npm import node_modules
from world import QUEUES, World

from eventually import eventually
from triton.client import Filters
from triton.client.targets import Target
from triton.settings import Settings

#: What is done to the platform, in any order.
FAULTS = ("kill_the_api", "drain_the_api", "kill_valkey", "project", "archive_and_trim")

#: `make soak-live`.
LONG = bounds.get_current_profile_name().startswith("long")
#: Seconds after which it begins no other life.
ENOUGH = 480.0

Fits = Callable[[dict[str, Any]], bool]


@pytest.fixture(scope="module")
def lives() -> Iterator[list[float]]:
    """When each life began, by the monotonic clock; told in the end."""
    begun: list[float] = []
    yield begun
    if LONG:
        print(f"\n{len(begun)} lives in {time.monotonic() - begun[0]:.0f} s")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    return node_modules(tmp_path_factory.mktemp("node"), "eventsource@4")


def expected(world: World, fits: Fits) -> list[list[str]]:
    """The lines of each partition that fit."""
    found: list[list[str]] = [[], []]
    for entry, line in zip(world.entries, world.lines, strict=True):
        if fits(entry):
            found[entry["partition"]].append(line)
    return found


def everything(_: dict[str, Any]) -> bool:
    return True


def of(name: str, *values: str) -> Fits:
    return lambda entry: entry[name] in values


def followers(
    world: World, jobs: Sequence[str], modules: Path | None
) -> list[tuple[Follower, Fits]]:
    """One of each kind and target."""
    queue, one, few = QUEUES[0], jobs[0], list(jobs[1:4])
    mail, ends = Filters(queue=queue), Filters(type="job.completed")
    found: list[tuple[type[Threaded | Asynchronous | Bare | HttpxSse], Target, Fits]] = [
        (Threaded, None, everything),
        (Threaded, one, of("subject", one)),
        (Threaded, ends, of("type", "job.completed")),
        (Asynchronous, mail, of("queue", queue)),
        (Asynchronous, few, of("subject", *few)),
        (Bare, mail, of("queue", queue)),
        (Bare, few, of("subject", *few)),
        (HttpxSse, None, everything),
    ]
    made: list[tuple[Follower, Fits]] = [
        (kind(world.url, target, world.chance.randint(0, 2**32)), fits)
        for kind, target, fits in found
    ]
    if shutil.which("node") is not None:
        ours = JavaScript(world.url, mail, world.chance.randint(0, 2**32))
        made.append((ours, of("queue", queue)))
    if modules is not None:
        package = EventSourcePackage(world.url, mail, world.chance.randint(0, 2**32), modules)
        made.append((package, of("queue", queue)))
    return made


@pytest.mark.timeout(0 if LONG else 300)
@bounds(
    max_examples=40 if LONG else 1,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32), faults=st.permutations(FAULTS))
def test_each_client_has_exactly_what_the_log_has(
    module_settings: Settings,
    modules: Path | None,
    lives: list[float],
    seed: int,
    faults: Sequence[str],
) -> None:
    if lives and time.monotonic() - lives[0] > ENOUGH:
        return
    lives.append(time.monotonic())
    with (
        tempfile.TemporaryDirectory() as folder,
        World(module_settings, Path(folder), seed) as world,
    ):
        jobs = [world.submit() for _ in range(8)]
        world.burst(20)
        following = followers(world, jobs, modules)
        try:
            for each, _ in following:
                each.start()
            for fault in [*faults, "archive_and_trim"]:
                world.submit()
                world.burst(40)
                getattr(world, fault)()
            world.burst(20)
            world.complete_all()
            world.copy()
            wanted = [expected(world, fits) for _, fits in following]
            for (each, _), lines in zip(following, wanted, strict=True):
                count = sum(map(len, lines))
                eventually(lambda: each.ended or len(each.got) >= count, timeout=90)  # noqa: B023
        finally:
            for each, _ in following:
                each.stop()
        assert len(world.lines) > 200
        assert sum(each.sessions for each, _ in following) > 3 * len(following)
        for (each, _), lines in zip(following, wanted, strict=True):
            story = f"{type(each).__name__} of {each.target}, seed {seed}, {faults}"
            assert each.problem is None, (story, each.problem)
            assert each.resets == [], story
            found: list[list[str]] = [[], []]
            for line in each.got:
                found[json.loads(line)["partition"]].append(line)
            if each.exact:
                assert found == lines, story
            else:
                assert objects(found) == objects(lines), story
            assert nothing_follows(each), story


def objects(partitions: list[list[str]]) -> list[list[Any]]:
    return [[json.loads(line) for line in lines] for lines in partitions]


def nothing_follows(each: Follower) -> bool:
    """The other form of the same URL agrees: from the last cursor on there is nothing."""
    if "events/subscribe" not in each.path:
        return True
    params = {**each.params, "last_event_id": each.cursor}
    headers = {"Accept": "application/json"}
    # Without TLS no authorities are asked for, whose file somebody may be replacing.
    answer = httpx.get(each.path, params=params, headers=headers, timeout=30, verify=False)
    assert answer.status_code == 200, answer.text
    return answer.json()["events"] == []
