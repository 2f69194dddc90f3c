"""Signs of life: who goes on, who stands still, who is gone; and what a probe makes of that."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventually import eventually
from triton import health
from triton.errors import ConfigurationError
from triton.observe.signs import Sign, Signs, found, refresh

#: A role that beats twenty times a second.
_ROLE = """
import sys, time
from triton.observe import signs
signs.BEAT = 0.05
signs.signs.begin(sys.argv[1], "worker")
signs.signs.part("redis").moved()
signs.signs.beat_apart()
time.sleep(60)
"""


@pytest.fixture
def role(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", _ROLE, str(tmp_path)]) as process:
        try:
            yield process
        finally:
            process.kill()


def test_who_stands_still_is_seen_and_who_is_gone_is_forgotten(
    tmp_path: Path, role: subprocess.Popen[bytes]
) -> None:
    def sign() -> Sign | None:
        return next((one for one in found(str(tmp_path)) if one.parts), None)

    def beat_at() -> float:
        """When it gave its last sign, by the monotonic clock."""
        one = sign()
        assert one is not None
        return time.monotonic() - one.beat

    first = eventually(sign)
    assert (first.role, first.pid) == ("worker", role.pid)
    role.send_signal(signal.SIGSTOP)
    eventually(lambda: (one := sign()) is not None and one.beat > 0.5)
    before = beat_at()
    refresh(str(next(tmp_path.iterdir())))
    assert beat_at() > before + 0.4, "somebody spoke for it"
    spoken = sign()
    assert spoken is not None
    assert spoken.parts["redis"] is not None
    role.send_signal(signal.SIGCONT)
    role.kill()
    role.wait()
    assert list(tmp_path.iterdir()), "its file is still there"
    assert found(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("sign", "alive", "well"),
    [
        (Sign("worker", 7, 1.0, {"redis": 3.0}), True, True),
        (Sign("worker", 7, health.STILL + 1, {"redis": 3.0}), False, False),
        (Sign("projector", 7, 1.0, {"postgres/0": health.NOWHERE + 1}), True, False),
        (Sign("projector", 7, 1.0, {"postgres/0": 1.0, "clickhouse/0": None}), True, False),
        (Sign("api", 7, 1.0, {}), True, True),
    ],
)
def test_what_a_probe_makes_of_it(sign: Sign, alive: bool, well: bool) -> None:
    """An engine that is away is a reason to take no part, and none to be started again."""
    beside = Sign("api", 8, 0.0, {})
    assert (not list(health.complaints([beside, sign], alive=True))) == alive
    assert (not list(health.complaints([beside, sign], alive=False))) == well


def test_a_probe_where_nothing_runs_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRITON_HEALTH", raising=False)
    assert health.main([]) == 2
    assert "TRITON_HEALTH is empty" in capsys.readouterr().err
    monkeypatch.setenv("TRITON_HEALTH", str(tmp_path / "never-was"))
    assert health.main(["--alive"]) == 1
    assert "no role of Triton runs here" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_ends_the_role_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"TRITON_HEALTH is .*name a folder"):
        Signs().begin(str(tmp_path / "file"), "api")
