"""The same promises for every task queue; where one cannot tell, it says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dramatiq
import msgspec
import pytest
import redis
from dramatiq import Actor, Message, Worker
from dramatiq.errors import ConnectionClosed

from eventually import eventually
from triton.errors import ConfigurationError
from triton.settings import Settings
from triton.stack.engines import Engines
from triton.task_queue import Task, TaskQueue, open_task_queue, task_queue_on
from triton.task_queue.dramatiq_queue import DramatiqTaskQueue
from triton.task_queue.triton_queue import TritonTaskQueue


@pytest.fixture(params=["triton", "dramatiq"])
def queue(
    request: pytest.FixtureRequest, engines: Engines, namespace: str, redis_client: redis.Redis
) -> Iterator[TaskQueue]:
    settings = Settings(redis_url=engines.redis_url, namespace=namespace, task_queue=request.param)
    opened = open_task_queue(settings)
    yield opened
    if isinstance(opened, DramatiqTaskQueue):
        opened.broker.flush_all()
    opened.close()


@pytest.fixture
def work(queue: TaskQueue) -> Actor[Any, Any]:
    @dramatiq.actor(broker=queue.broker, queue_name="tq", max_retries=0)
    def work(number: int) -> int:
        if number < 0:
            raise ValueError("too small")
        return 2 * number

    return work


@pytest.fixture
def worker(queue: TaskQueue, work: Actor[Any, Any]) -> Iterator[Worker]:
    started = Worker(queue.broker, worker_timeout=50, worker_threads=2)
    started.start()
    yield started
    started.stop(timeout=60_000)


def ended(queue: TaskQueue, task: Task) -> Task:
    def look() -> Task | None:
        found = queue.status(task)
        return found if found.state in ("completed", "failed") else None

    return eventually(look)


def test_a_task_completes_with_its_result(
    queue: TaskQueue, work: Actor[Any, Any], worker: Worker
) -> None:
    task = queue.enqueue(work.message(21))
    assert (task.state, task.actor, task.queue) == ("pending", "work", "tq")
    done = ended(queue, task)
    assert (done.id, done.state, done.result, done.error) == (task.id, "completed", 42, "")


def test_a_task_fails_with_its_error(
    queue: TaskQueue, work: Actor[Any, Any], worker: Worker
) -> None:
    done = ended(queue, queue.enqueue(work.message(-1)))
    assert (done.state, done.error) == ("failed", "ValueError: too small")


def test_a_task_outlives_its_process_as_plain_data(
    queue: TaskQueue, work: Actor[Any, Any], worker: Worker
) -> None:
    kept = msgspec.json.encode(queue.enqueue(work.message(1)))
    assert ended(queue, msgspec.json.decode(kept, type=Task)).result == 2


def test_a_waiting_task_is_told_or_said_to_be_unknown_and_cancelled_or_not(
    queue: TaskQueue, work: Actor[Any, Any]
) -> None:
    task = queue.enqueue(work.message(1), delay=60_000)
    assert task.state == "scheduled"
    before, cancelled, again = queue.status(task), queue.cancel(task), queue.cancel(task.id)
    if isinstance(queue, TritonTaskQueue):
        assert (before.state, cancelled, again) == ("scheduled", "cancelled", "ended")
        assert queue.status(task.id).state == "cancelled"
    else:
        assert (before.state, cancelled, again) == ("unknown", "unsupported", "unsupported")


def test_an_unknown_id_is_unknown(queue: TaskQueue) -> None:
    assert queue.status("nobody") == Task(id="nobody", state="unknown")
    assert queue.cancel("nobody") in ("missing", "unsupported")


def test_the_broker_decides_which_queue_it_is(queue: TaskQueue) -> None:
    assert type(task_queue_on(queue.broker)) is type(queue)


def test_a_queue_needs_a_server() -> None:
    with pytest.raises(ConfigurationError, match="TRITON_REDIS_URL"):
        open_task_queue(Settings())


@pytest.mark.parametrize("kind", ["triton", "dramatiq"])
def test_a_server_that_is_away_is_the_same_error(kind: Any) -> None:
    queue = open_task_queue(Settings(redis_url="redis://127.0.0.1:1/0", task_queue=kind))
    message = Message[Any](queue_name="tq", actor_name="work", args=(), kwargs={}, options={})
    with pytest.raises(ConnectionClosed):
        queue.enqueue(message)
    with pytest.raises(ConnectionClosed):
        queue.status(Task(id="one", state="pending", actor="work", queue="tq"))
    queue.close()


@pytest.mark.parametrize("kind", ["triton", "dramatiq"])
def test_a_url_that_is_none_is_the_same_error(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected redis://host:port/db"):
        open_task_queue(Settings(redis_url="nonsense", task_queue=kind))
