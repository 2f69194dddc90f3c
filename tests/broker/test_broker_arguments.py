"""Tries arguments that do not fit an actor: refused where they are sent, by their names, and nothing else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq import Message
from dramatiq.middleware import AsyncIO
from hypothesis import given
from hypothesis import strategies as st

from eventually import eventually
from stored_message import replace_message
from triton import TritonBroker, keys
from triton.errors import ValidationError
from triton.events.types import Completed, Failed
from triton.signature import check_call, decode, encode, signature_of


def plain(a: int, b: int = 0) -> None: ...
def by_place(a: int, b: int = 0, /, c: int = 0) -> None: ...
def by_name(*, a: int, b: int = 0) -> None: ...
def anything(*args: int, **kwargs: int) -> None: ...
def mixed(a: int, *args: int, b: int, **kwargs: int) -> None: ...
def nothing() -> None: ...


FUNCTIONS = [plain, by_place, by_name, anything, mixed, nothing]
NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.sampled_from(FUNCTIONS),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(NAMES, st.integers(), max_size=4),
)
def test_a_call_fits_where_python_says_so(
    fn: Callable[..., None], args: list[int], kwargs: dict[str, int]
) -> None:
    """The same before and after the signature went through the log."""
    signature = decode(encode(signature_of(fn)))
    assert signature is not None
    try:
        inspect.signature(fn).bind(*args, **kwargs)
    except TypeError:
        with pytest.raises(ValidationError):
            check_call(signature, "work", args, kwargs)
    else:
        check_call(signature, "work", args, kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "fields"),
    [
        ((), {}, {"kwargs.a": "is required"}),
        ((1, 2, 3), {}, {"args": "has 3 values, at most 2 are taken"}),
        ((1,), {"a": 2}, {"kwargs.a": "is in args already"}),
        ((1,), {"x": 2}, {"kwargs.x": "is not known; known are a, b"}),
        ((), {"y": 1, "x": 2}, {"kwargs.a", "kwargs.x", "kwargs.y"}),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_submitted(
    broker: TritonBroker, args: tuple[int, ...], kwargs: dict[str, int], fields: Any
) -> None:
    actor = dramatiq.actor(actor_name="work")(plain)
    with pytest.raises(ValidationError, match="the arguments do not fit the actor work: ") as found:
        actor.send(*args, **kwargs)
    named = {field["field"]: field["message"] for field in found.value.details["fields"]}
    assert (named if isinstance(fields, dict) else set(named)) == fields
    assert broker.count("default")["ready"] == 0


def test_what_a_decorator_adds_is_not_asked_for(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker()
    broker.add_middleware(AsyncIO())

    def with_session(fn: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(fn)
        def wrapper(*args: Any, **kwargs: Any) -> int:
            return fn("session", *args, **kwargs)

        return wrapper

    @dramatiq.actor
    @with_session
    def work(session: str, x: int) -> int:
        return x

    @dramatiq.actor
    async def later(x: int) -> int:
        return x

    with pytest.raises(ValidationError, match=r"kwargs\.x is required"):
        later.send()
    messages = [work.send(1), later.send(1)]
    with run(broker):
        broker.join("default", timeout=30_000)
    for message in messages:
        assert history.of(message.message_id)[-1].data == Completed(result=1)


def test_a_callback_that_does_not_fit_is_a_job_that_failed(
    broker: TritonBroker, run: Run, history: History
) -> None:
    """A callback is sent with two arguments; refused in a hook it would be lost without a trace."""

    @dramatiq.actor(max_retries=0)
    def told() -> None: ...

    @dramatiq.actor(on_success="told")
    def work() -> None: ...

    work.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.ended() == {"completed": 1, "failed": 1}
    failed = next(event.data for event in history.events() if isinstance(event.data, Failed))
    assert failed.error.type == "TypeError"


def test_workers_publish_what_their_actors_take(
    broker: TritonBroker, run: Run, redis_client: redis.Redis
) -> None:
    @dramatiq.actor
    def work(x: int, *, y: int = 0) -> None: ...

    with run(broker):
        key = keys.signatures(broker.prefix_of(""))
        published = eventually(lambda: redis_client.hget(key, "work"))
    assert isinstance(published, bytes)
    assert decode(published) == signature_of(work.fn)
    assert decode(b"") is None
    assert decode(b'{"positional": 3}') is None


@pytest.mark.one_partition
def test_what_no_worker_can_run_fails_and_the_queue_goes_on(
    broker: TritonBroker, run: Run, history: History, redis_client: redis.Redis, namespace: str
) -> None:
    @dramatiq.actor
    def work(x: int) -> int:
        return x

    unknown: Message[Any] = Message("default", "nobody", (), {}, {})
    broker.enqueue(unknown)
    broken = work.send(1)
    replace_message(redis_client, keys.prefix(namespace, 0), broken.message_id, b"\x93no json")
    good = work.send(2)
    with run(broker):
        broker.join("default", timeout=30_000)
    reasons = {}
    for message in (unknown, broken):
        failed = history.of(message.message_id)[-1].data
        assert isinstance(failed, Failed)
        reasons[failed.error.type] = failed.reason
    assert reasons == {"ActorNotFound": "rejected", "DecodeError": "rejected"}
    assert history.of(good.message_id)[-1].data == Completed(result=2)
    history.check()
