"""A task ends although its first cancel is lost, as happens between two commands to Redis."""

from __future__ import annotations

import asyncio

import pytest

from triton.ending import ended


def test_a_cancel_that_comes_together_with_an_answer_is_repeated() -> None:
    """A role or an API that was told to end hung for ever."""

    async def run() -> None:
        asked: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

        async def follow() -> None:
            while True:
                answer = asyncio.get_running_loop().create_future()
                asked.put_nowait(answer)
                await asyncio.wait_for(answer, 3600)

        task = asyncio.ensure_future(follow())
        (await asked.get()).set_result(None)
        await asyncio.wait_for(ended([task], again=0.05), 60)
        assert task.cancelled()

    asyncio.run(run())


def test_what_a_task_raises_on_its_way_out_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async def fail() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                raise ValueError

        tasks = [asyncio.ensure_future(fail()) for _ in range(2)]
        await asyncio.sleep(0)
        await ended(tasks)
        assert all(task.done() for task in tasks)

    asyncio.run(run())
    assert "never retrieved" not in caplog.text
