"""Owns the log of the audit's tests: made once, read by all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from past_log import PastLog, lives

from triton.stack.engines import Engines


@pytest.fixture(scope="session")
def past(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PastLog]:
    folder = tmp_path_factory.mktemp("archive")
    with lives(engines.redis_url, "t-time-travel", folder, seed=11, events=240) as log:
        yield log
        for pattern in ("{t-time-travel*", "t-time-travel*"):
            if found := list(log.client.scan_iter(pattern)):
                log.client.delete(*found)
