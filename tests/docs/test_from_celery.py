"""The guide's actors run, and its switch sends to where it says."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dramatiq
import pytest

from triton.stack.engines import Engines
from triton.testing import jobs_in_process

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "from-celery.md"


class FakeCelery:
    """What the guide uses of Celery, which is no dependency of ours: it notes what was sent."""

    sent: list[tuple[Any, ...]]

    def __init__(self, name: str, broker: str) -> None:
        FakeCelery.sent = []

    def task(self, function: Any, name: str) -> Any:
        def apply_async(args: Any, kwargs: Any, queue: str) -> Any:
            self.sent.append((name, args, queue))
            return SimpleNamespace(id="celery-id")

        return SimpleNamespace(apply_async=apply_async)


@pytest.fixture
def guide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engines: Engines
) -> Iterator[dict[str, str]]:
    """The named blocks of the guide, as modules that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TRITON_REDIS_URL", engines.redis_url)
    monkeypatch.setenv("CELERY_BROKER", "memory://")
    celery = ModuleType("celery")
    celery.Celery = FakeCelery  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "celery", celery)
    blocks = [part.split("```")[0] for part in GUIDE.read_text().split("```python\n# ")[1:]]
    found = {block.splitlines()[0]: block.partition("\n")[2] for block in blocks}
    for name in ("actors", "both"):
        (tmp_path / f"{name}.py").write_text(found[f"{name}.py"])
    before = dramatiq.broker.global_broker
    yield found
    dramatiq.broker.global_broker = before
    for name in ("actors", "both"):
        sys.modules.pop(name, None)


def test_the_actor_beside_the_task(guide: dict[str, str], engines: Engines) -> None:
    actors = importlib.import_module("actors")
    with jobs_in_process(engines.redis_url) as jobs:
        assert jobs.assert_completed(actors.resize.send("cat", 80)) == "cat@80"


def test_a_queue_moves_by_its_name(
    guide: dict[str, str], engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = importlib.import_module("both")
    with jobs_in_process(engines.redis_url) as jobs:
        assert both.thumbnail_task.send("cat") == "celery-id"
        assert FakeCelery.sent == [("thumbnail", ("cat",), "pictures")]
        monkeypatch.setattr(both, "MOVED", {"pictures"})
        assert jobs.assert_completed(both.thumbnail_task.send("cat")) == "small cat"
        assert len(FakeCelery.sent) == 1


def test_a_result_is_the_last_argument_of_what_follows(
    guide: dict[str, str], engines: Engines
) -> None:
    actors = importlib.import_module("actors")

    @dramatiq.actor
    def note(prefix: str, resized: str) -> str:
        return prefix + resized

    with jobs_in_process(engines.redis_url) as jobs:
        last = (actors.resize.message("cat", 80) | note.message("saw ")).run().messages[-1]
        assert jobs.assert_completed(last) == "saw cat@80"
