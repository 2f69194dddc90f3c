"""Owns what the adoption's tests share: the log of a namespace, and settings for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import redis

from triton.settings import Settings
from triton.stack.engines import Engines

sys.path.append(str(Path(__file__).parents[1] / "broker"))

from broker_log import History


@pytest.fixture
def settings(engines: Engines, namespace: str, redis_client: redis.Redis) -> Settings:
    return Settings(redis_url=engines.redis_url, namespace=namespace)


@pytest.fixture
def history(redis_client: redis.Redis, namespace: str) -> History:
    return History(redis_client, namespace)
