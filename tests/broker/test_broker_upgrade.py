"""A rolling upgrade: workers with other texts of the scripts side by side, and a server that forgets both."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History

from eventually import eventually
from triton import TritonBroker
from triton.errors import ConfigurationError
from triton.events.scripts import Scripts
from triton.events.sources import Script


class OtherScripts(Scripts):
    """As a version with other texts has them: the same answers under other hashes."""

    def __init__(self, **options: int) -> None:
        super().__init__(**options)
        for name, script in self.by_name.items():
            source = script.source + "\n-- of another version\n"
            sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            self.by_name[name] = Script(name, source, sha)
        self._family = tuple(self.by_name.values())


@pytest.fixture
def versions(
    make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[TritonBroker, TritonBroker]]:
    """A broker of this version and one of another, on the same log."""
    new = make_broker()
    with monkeypatch.context() as patch:
        patch.setattr("triton.broker.broker.Scripts", OtherScripts)
        old = make_broker()
    assert new.scripts.by_name["claim"].sha != old.scripts.by_name["claim"].sha
    return new, old


def test_two_versions_share_the_work_and_end_every_job_once(
    versions: tuple[TritonBroker, TritonBroker],
    run: Run,
    history: History,
    redis_client: redis.Redis,
) -> None:
    """Sent by both, run by both, while the server forgets all scripts again and again."""
    ran: dict[str, set[int]] = {"new": set(), "old": set()}
    failed: set[int] = set()
    actors = {}
    for name, broker in zip(ran, versions, strict=True):

        def job(number: int, seen: set[int] = ran[name]) -> int:
            seen.add(number)
            # The one that is quicker leaves some to the other.
            eventually(lambda: len(seen) < 60 or min(map(len, ran.values())) > 10)
            if number % 7 == 0 and number not in failed:
                failed.add(number)
                raise ValueError("once")
            return number

        actors[name] = dramatiq.actor(job, broker=broker, actor_name="job")
    forget = threading.Event()

    def forgetful() -> None:
        # Rarer than a call and its repeat take on a busy machine: a client repeats once.
        while not forget.wait(0.5):
            redis_client.script_flush()

    thread = threading.Thread(target=forgetful)
    with run(versions[0], threads=2), run(versions[1], threads=2):
        thread.start()
        for number in range(200):
            actors["new" if number % 2 else "old"].send(number)
        eventually(lambda: history.ended().total() == 200, timeout=60)
        forget.set()
        thread.join()
    assert history.ended() == {"completed": 200}
    assert ran["new"] | ran["old"] == set(range(200))
    assert min(map(len, ran.values())) > 10, "one version did all the work"
    history.check()


def test_a_log_of_another_layout_is_left_alone(
    make_broker: MakeBroker, redis_client: redis.Redis, history: History, namespace: str
) -> None:
    """What a newer version keeps otherwise must not be changed by one that does not know it."""
    broker = make_broker()
    job = dramatiq.actor(lambda: None, broker=broker, actor_name="job")
    job.send()
    meta = f"{{{namespace}:0}}:meta"
    redis_client.hset(meta, "layout", 99)
    before = len(list(history.events()))
    late = make_broker()
    with pytest.raises(ConfigurationError, match="99"):
        dramatiq.actor(lambda: None, broker=late, actor_name="job").send()
    assert len(list(history.events())) == before
    redis_client.hdel(meta, "layout")
