"""Actors of jobs that many followers ask for at once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from triton.history.actors import AskedOnce


def test_many_who_ask_for_the_same_at_once_ask_once_and_few_are_remembered() -> None:
    asked: list[str] = []

    async def ask(jobs: Collection[str]) -> dict[str, str]:
        await asyncio.sleep(0)
        asked.extend(jobs)
        return {job: f"actor of {job}" for job in jobs if job != "nobody"}

    async def all_of_it() -> None:
        actors = AskedOnce(ask, most=3)
        for jobs in (["a", "b"], ["b", "c"], ["c", "d", "e"]):
            for found in await asyncio.gather(*(actors(jobs) for _ in range(200))):
                assert found == {job: f"actor of {job}" for job in jobs}
        assert asked == ["a", "b", "c", "d", "e"]
        assert await actors(["a", "e"]) == {job: f"actor of {job}" for job in "ae"}, "forgotten"
        assert asked[5:] == ["a"]
        assert await actors(["nobody"]) == await actors(["nobody"]) == {}

    asyncio.run(all_of_it())
