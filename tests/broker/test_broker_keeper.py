"""Tries the keeper: leases of a worker whose interpreter stands still, and of one that is stopped or dead."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run, StartCommand
from broker_log import History
from dramatiq import Message
from hypothesis import given
from hypothesis import strategies as st

from eventually import eventually
from triton import TritonBroker, keys
from triton.events.types import Failed, Released
from triton.keeper.child import state_of
from triton.keeper.holds import SLOTS, Hold, Holds


def message(actor: str, **kwargs: object) -> Message[Any]:
    return Message("default", actor, (), kwargs, {})


def ready(broker: TritonBroker) -> TritonBroker:
    broker.declare_queue("default")
    return broker


def keepers_of(pid: int) -> list[int]:
    """The keepers among the children of a process."""
    # A child belongs to the thread that began it.
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        # A thread, or a child, may end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in children.read_text().split():
                if b"triton.keeper.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def test_a_job_that_keeps_the_interpreter_keeps_its_lease(
    make_broker: MakeBroker,
    start: StartCommand,
    run: Run,
    history: History,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    """From the first moment of its process on, while another worker waits for work."""
    broker = make_broker(lease_ms=10_000)

    @dramatiq.actor
    def keeps_it_until_told(path: str) -> None:
        raise AssertionError("stolen")

    os.mkfifo(gate := tmp_path / "gate")
    busy = message("keeps_it_until_told", path=str(gate))
    leases = keys.leases(broker.prefix_of(busy.message_id), "default")
    broker.enqueue(busy)
    command = start("--processes", "1", "--threads", "2", lease_ms=10_000)
    eventually(command.notes, timeout=60)
    with run(broker, threads=1):
        for _ in range(2):
            # The first may be the process's own, sent before its interpreter stood still.
            before = redis_client.zscore(leases, busy.message_id)
            eventually(lambda before=before: redis_client.zscore(leases, busy.message_id) > before)
        gate.write_bytes(b"x")
        eventually(lambda: history.types(busy.message_id)[-1] == "completed", timeout=60)
    assert history.types(busy.message_id) == ["submitted", "started", "completed"]
    assert [note.word for note in command.notes()] == ["begin", "end"]
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(60) == 0


def test_a_job_that_keeps_the_interpreter_beyond_its_limit_ends_its_process(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    """The job fails and is not tried again; who ran beside it goes back to the queue at once."""
    broker = ready(make_broker())
    beside = message("work", seconds=60).copy(options={"time_limit": 90_000})
    broker.enqueue(beside)
    command = start(
        *("--processes", "1", "--threads", "2"),
        lease_ms=10_000,
        time_limit_ms=1_000,
        soft_time_limit_ms=1_000,
        time_limit_grace_ms=200,
    )
    eventually(command.notes, timeout=60)
    stuck = message("keeps_the_interpreter", seconds=60)
    broker.enqueue(stuck)
    eventually(lambda: history.types(stuck.message_id)[-1] == "failed", timeout=60)
    failed = history.of(stuck.message_id)[-1].data
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.error.type) == ("time_limit", "TimeLimitExceeded")
    eventually(lambda: history.types(beside.message_id)[-1] == "released")
    released = history.of(beside.message_id)[-1].data
    assert isinstance(released, Released)
    assert "went on after its time limit" in released.reason
    assert command.process.wait(60) != 0, "the command ends with the process that was ended"
    history.check()


def test_a_stopped_worker_loses_its_jobs_and_a_dead_one_leaves_no_keeper(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    broker = ready(make_broker())
    job = message("work", seconds=60)
    broker.enqueue(job)
    command = start("--processes", "1", "--threads", "1", lease_ms=1000)
    pid = eventually(command.notes, timeout=60)[0].pid
    (keeper,) = eventually(lambda: keepers_of(pid))
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state_of(pid) == "T")
    second = start("--processes", "1", "--threads", "1", lease_ms=1000)
    eventually(second.notes, timeout=60)
    kinds = history.types(job.message_id)
    assert kinds[kinds.index("lease_lost") + 1] == "started"
    assert Path(f"/proc/{keeper}").exists(), "it waits for its parent to go on"
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: state_of(keeper) in ("", "Z"))


def test_a_keeper_that_ends_is_begun_again(
    make_broker: MakeBroker, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triton.keeper.parent._PAUSE", 0.1)
    broker = make_broker(lease_ms=1000)
    go_on = threading.Event()

    @dramatiq.actor
    def work() -> None:
        go_on.wait(60)

    work.send()
    # Those of an earlier test's brokers may not be gone yet.
    before = set(keepers_of(os.getpid()))
    try:
        with run(broker):
            (first,) = eventually(lambda: set(keepers_of(os.getpid())) - before)
            os.kill(first, signal.SIGKILL)
            (second,) = eventually(lambda: set(keepers_of(os.getpid())) - before - {first})
            go_on.set()
            broker.join("default", timeout=30_000)
    finally:
        go_on.set()
    broker.close()
    assert state_of(second) in ("", "Z")


def test_a_job_behind_a_long_one_is_not_held_by_its_worker(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    """A worker claims no more than it can start, so nobody has to wait for a lease of its."""
    broker, other = make_broker(), make_broker()
    go_on, begun = threading.Event(), threading.Event()

    @dramatiq.actor(broker=broker)
    def long(waits: bool) -> None:
        if waits:
            begun.set()
            go_on.wait(60)

    other.declare_queue("default")
    other.declare_actor(long)
    first = long.send(waits=True)
    with run(broker, threads=1):
        assert begun.wait(30)
        behind = [long.send(waits=False) for _ in range(3)]
        assert broker.count("default") == {"ready": 3, "due": 0, "leases": 1}
        with run(other, threads=1):
            for each in behind:
                eventually(lambda job=each.message_id: history.types(job)[-1] == "completed")
        go_on.set()
        broker.join("default", timeout=30_000)
    for each in (first, *behind):
        assert history.types(each.message_id) == ["submitted", "started", "completed"]


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=200), st.integers(1, 2**32 - 1)), max_size=9)
)
def test_what_one_side_notes_the_other_reads(jobs: list[tuple[str, int]]) -> None:
    ours = Holds()
    theirs = Holds(ours.fd)
    jobs = [(job.encode(errors="replace").decode(), attempt) for job, attempt in jobs]
    slots = [ours.take(job, attempt) for job, attempt in jobs]
    for number, slot in enumerate(slots):
        ours.limit(slot, number + 0.5)
    expected = [Hold(job, attempt, n + 0.5) for n, (job, attempt) in enumerate(jobs)]
    assert theirs.read() == expected
    for slot in slots[::2]:
        ours.free(slot)
    assert theirs.read() == expected[1::2]


def test_a_full_table_keeps_what_it_has() -> None:
    holds = Holds()
    slots = [holds.take(f"job-{number}", 1) for number in range(SLOTS + 2)]
    assert slots[-2:] == [-1, -1]
    holds.limit(-1, 5.0)
    holds.free(-1)
    assert len(holds.read()) == SLOTS
    holds.free(slots[7])
    assert holds.take("again", 2) == slots[7]
