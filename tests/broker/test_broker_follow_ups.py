"""Tries what follows from outcomes while processes are killed between a job's hooks: each exactly once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dramatiq
import pytest
from broker_kit import MakeBroker, Run, StartCommand
from broker_log import History
from dramatiq import Message, group, pipeline
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend as RateLimits
from dramatiq.rate_limits.backends import StubBackend

from eventually import eventually
from triton import TritonBroker
from triton.broker.groups import _value
from triton.events.types import Failed
from triton.stack.engines import Engines


def message(actor: str, **options: object) -> Message[Any]:
    return Message("default", actor, (), {}, options)


def ready(broker: TritonBroker) -> TritonBroker:
    broker.declare_queue("default")
    return broker


@pytest.mark.one_server
@pytest.mark.parametrize("place", ["first", "last", "last ack"])
def test_what_follows_is_sent_once_although_the_process_dies_between_hooks(
    make_broker: MakeBroker, start: StartCommand, history: History, engines: Engines, place: str
) -> None:
    broker = ready(make_broker())
    broker.add_middleware(GroupCallbacks(RateLimits(url=engines.redis_url)))
    dying = {"dies": place}
    callback = message("member", on_success="told", **dying)
    chain = pipeline([message("member", **dying), message("told")])
    members = [message("member", **dying), message("member"), message("member", **dying)]
    together = group(members)
    doomed = [callback, chain.messages[0], members[0], members[2]]
    done = message("told")
    together.add_completion_callback(done)
    broker.enqueue(callback)
    chain.run()
    together.run()
    # A process that dies before its keeper is up is noticed by its leases only.
    command = start("--processes", "1", "--threads", "1", max_deaths=10, lease_ms=2000)

    def all_done() -> bool:
        command.keep_alive()
        ended = history.ended()
        assert ended == {"completed": 8}, (ended, [*map(str, history.events())][-12:])
        return True

    eventually(all_done, timeout=150, interval=0.1)
    history.check()
    submitted = [event for event in history.events() if event.type == "job.submitted"]
    followed = Counter(event.causation for event in submitted if event.causation)
    assert sorted(followed.values()) == [1, 1, 1]
    assert followed[f"job:{callback.message_id}"] == 1
    assert (
        history.of(chain.messages[1].message_id)[0].causation
        == f"job:{chain.messages[0].message_id}"
    )
    assert len({note.job for note in command.notes() if note.word == "told"}) == 3
    begun = {event.job: event.position for event in history.events() if event.type == "job.started"}
    told = history.of(done.message_id)[0].position
    assert all(begun[each.message_id] < told for each in members), "nobody was left out"
    died = {e.job for e in history.events() if e.type == "job.lease_lost"}
    assert died >= {each.message_id for each in doomed}, "every one of them died once"


def test_a_counter_is_read_without_changing_it() -> None:
    backend = StubBackend()
    for value in (1, 2, 3, 7, 8, 1000):
        backend.add(f"k{value}", value, 60_000)
        assert [_value(backend, f"k{value}", 60_000) for _ in range(2)] == [value, value]
    assert _value(backend, "gone", 60_000) == 0


@pytest.mark.one_server
def test_a_variation_of_group_callbacks_is_left_alone(
    make_broker: MakeBroker, engines: Engines
) -> None:
    from triton.broker.groups import is_stock

    class Own(GroupCallbacks):
        def after_process_message(self, *args: Any, **kwargs: Any) -> None:
            """Another way to complete a group."""

    backend = RateLimits(url=engines.redis_url)
    assert is_stock(GroupCallbacks(backend))
    assert not is_stock(Own(backend))
    assert not is_stock(dramatiq.middleware.Callbacks())


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_result_that_cannot_go_on_fails_its_job(
    make_broker: MakeBroker, run: Run, history: History, partitions: int
) -> None:
    """Else the job would be completed, and nobody would see that the pipeline goes no further."""
    broker = make_broker(partitions=partitions)
    history.partitions = partitions

    @dramatiq.actor
    def first(kind: str) -> object:
        return {"set": {1, 2}, "deep": _nested(100_000), "large": "x" * 600_000, "plain": 3}[kind]

    @dramatiq.actor
    def then(value: object) -> None:
        pass

    kinds = ("set", "deep", "large", "plain")
    chains = [pipeline([first.message(kind), then.message()]).run() for kind in kinds]
    with run(broker):
        broker.join("default", timeout=30_000)
    *bad, good = [chain.messages[0].message_id for chain in chains]
    for job in bad:
        failed = history.of(job)[-1].data
        assert isinstance(failed, Failed), failed
        assert (failed.reason, failed.error.type) == ("error", "ValidationError")
    assert history.types(good)[-1] == "completed"
    submitted = [event for event in history.events() if event.type == "job.submitted"]
    assert [event.causation for event in submitted if event.causation] == [f"job:{good}"]
    history.check()


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value
