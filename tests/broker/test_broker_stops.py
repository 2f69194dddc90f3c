"""Tries how worker processes end: by a signal in time, with jobs that go on, without Redis, and suddenly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from broker_kit import MakeBroker, StartCommand
from broker_log import History
from dramatiq import Message
from own_server import OwnServer

from eventually import eventually
from triton import TritonBroker
from triton.errors import ConfigurationError
from triton.events.types import LeaseLost, Released
from triton.settings import load
from triton.worker import load_actors
from triton.worker_role import run_worker

WORKER = "triton.worker:setup"
PLAIN: dict[str, Any] = {"app": WORKER, "modules": "plain_app"}


def message(seconds: float) -> Message[Any]:
    return Message("default", "work", (), {"seconds": seconds}, {})


def ready(broker: TritonBroker) -> TritonBroker:
    broker.declare_queue("default")
    return broker


def test_what_goes_on_after_the_time_to_drain_is_released_once_its_process_is_gone(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    broker = ready(make_broker())
    quick, slow = message(0.3), message(60)
    broker.enqueue_many([quick, slow])
    command = start("--processes", "1", "--threads", "2", **PLAIN, drain_ms=5000)
    eventually(lambda: len(command.notes()) == 2, timeout=60)
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(60) == 0, command.log()
    assert history.types(quick.message_id)[-1] == "completed", "it had the time to end"
    eventually(lambda: history.types(slow.message_id) == ["submitted", "started", "released"])
    released = history.of(slow.message_id)[-1].data
    assert isinstance(released, Released)
    assert released.reason == "its worker stopped, and the time to end was over"
    assert broker.count("default") == {"ready": 1, "due": 0, "leases": 0}
    history.check()


def test_a_dead_worker_s_jobs_do_not_wait_for_their_leases(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    broker = ready(make_broker())
    job = message(60)
    broker.enqueue(job)
    first = start("--processes", "1", "--threads", "1", lease_ms=60_000)
    (begun,) = eventually(first.notes, timeout=60)
    second = start("--processes", "1", "--threads", "1", lease_ms=60_000)
    eventually(lambda: b"ready for action" in second.log_path.read_bytes(), timeout=60)
    os.kill(begun.pid, signal.SIGKILL)
    eventually(second.notes, timeout=60)
    lost = next(e.data for e in history.of(job.message_id) if isinstance(e.data, LeaseLost))
    assert lost.deaths == 1, "it counts as a death"


def test_an_idle_worker_ends_soon(make_broker: MakeBroker, start: StartCommand) -> None:
    ready(make_broker()).join("default")
    command = start("--processes", "1", "--threads", "4", **PLAIN)
    eventually(lambda: b'"event":"ready"' in command.log_path.read_bytes(), timeout=60)
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(60) == 0
    said = command.log()
    assert "draining" in said
    assert '"event":"stopped"' in said


def test_a_worker_ends_although_its_redis_is_gone(
    start: StartCommand, make_broker: MakeBroker
) -> None:
    with tempfile.TemporaryDirectory(prefix="tb") as folder:
        server = OwnServer(Path(folder))
        server.start()
        try:
            broker = ready(make_broker(url=server.url))
            broker.enqueue(message(0.5))
            command = start(
                *("--processes", "1", "--threads", "2"), **PLAIN, redis_url=server.url, drain_ms=500
            )
            eventually(command.notes, timeout=60)
            server.kill()
            command.process.send_signal(signal.SIGTERM)
            command.process.wait(60)
        finally:
            server.kill()


@pytest.mark.parametrize(
    "run", [lambda: run_worker(load({})), None], ids=["triton worker", "dramatiq triton.worker"]
)
def test_a_worker_without_a_redis_is_told_so_in_one_sentence(
    run: Callable[[], None] | None,
) -> None:
    if run is not None:
        with pytest.raises(ConfigurationError, match="TRITON_REDIS_URL is not set"):
            run()
        return
    environment = {name: value for name, value in os.environ.items() if "TRITON" not in name}
    argv = [sys.executable, "-m", "dramatiq", WORKER, "--processes", "1", "--threads", "1"]
    ended = subprocess.run(
        argv, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode != 0
    assert "triton: TRITON_REDIS_URL is not set, and a worker starts no engines" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_module_whose_code_raises_is_named_below_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raises_at_import.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"'raises_at_import' of .* raised ZeroDivision"):
        load_actors(load({}, modules="raises_at_import"))
    assert "raises_at_import.py" in capsys.readouterr().err


def test_a_wrong_number_of_partitions_leaves_nothing_behind(
    make_broker: MakeBroker, redis_client: redis.Redis, namespace: str
) -> None:
    make_broker(partitions=1).enqueue(message(0))
    before = set(redis_client.scan_iter(f"{{{namespace}:*"))
    with pytest.raises(ConfigurationError, match="was created with 1 partitions"):
        make_broker(partitions=4).enqueue(message(0))
    assert set(redis_client.scan_iter(f"{{{namespace}:*")) == before


@pytest.mark.one_partition
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"partitions": 4}, "was created with 1 partitions, but TRITON_PARTITIONS is 4"),
        ({"archive_url": "nowhere"}, "TRITON_ARCHIVE_URL is 'nowhere': expected file://"),
    ],
)
def test_a_worker_with_a_wrong_setting_ends_with_one_sentence(
    make_broker: MakeBroker, start: StartCommand, settings: dict[str, Any], said: str
) -> None:
    make_broker(partitions=1).enqueue(message(0))
    command = start("--processes", "1", "--threads", "1", **PLAIN, **settings)
    assert command.process.wait(60) != 0
    assert said in command.log()
    assert "Traceback" not in command.log()
