"""Owns that middleware is asked where it has something to say, whenever it came, and left alone where not."""

from __future__ import annotations

from typing import Any

import dramatiq
from broker_kit import MakeBroker, Run
from dramatiq import Middleware

from eventually import eventually
from triton.broker.hooked import Hooked


class Silent(Middleware):
    """Has no hook at all."""


class Acked(Middleware):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def after_ack(self, broker: Any, message: Any) -> None:
        self.heard.append(message.message_id)


class Enqueued(Acked):
    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        self.heard.append("before")

    def after_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        self.heard.append("after")


def test_only_those_with_a_hook_of_the_name_are_found_in_their_order() -> None:
    first, second = Enqueued(), Acked()
    hooked = Hooked()
    present = [first, Silent(), second]
    assert hooked.of(present, "after_ack") == [first, second]
    assert hooked.of(present, "after_enqueue") == [first]
    assert hooked.of(present, "before_nack") == []


def test_a_list_that_changes_is_looked_at_again() -> None:
    first, second = Acked(), Acked()
    hooked, present = Hooked(), [first]
    assert hooked.of(present, "after_ack") == [first]
    present.append(second)
    assert hooked.of(present, "after_ack") == [first, second]
    present.remove(first)
    assert hooked.of(present, "after_ack") == [second]


def test_a_hook_of_one_object_alone_and_one_of_a_stranger_are_hooks() -> None:
    class Stranger:
        def after_ack(self, broker: Any, message: Any) -> None: ...

    own, stranger = Silent(), Stranger()
    own.after_ack = lambda *_: None  # type: ignore[method-assign]
    present: list[Any] = [own, stranger]
    assert Hooked().of(present, "after_ack") == present


def test_middleware_that_comes_after_the_first_jobs_hears_of_the_next(
    make_broker: MakeBroker, run: Run
) -> None:
    broker = make_broker()

    @dramatiq.actor
    def work() -> None: ...

    with run(broker):
        work.send()
        broker.join("default", timeout=30_000)
        late = Enqueued()
        broker.add_middleware(late)
        message = work.send()
        eventually(lambda: late.heard == ["before", "after", message.message_id])
