"""The doctor on a log that something else wrote to."""

from __future__ import annotations

import redis as client

from triton import keys
from triton.cli.checks.redis import check
from triton.settings import Settings
from triton.stack.engines import Engines


def test_an_entry_that_is_not_tritons_is_named(
    engines: Engines, redis_client: client.Redis, namespace: str
) -> None:
    settings = Settings(redis_url=engines.redis_url, namespace=namespace)
    prefix = keys.prefix(namespace, 0)

    def said() -> list[tuple[str, str]]:
        return [(one.level, one.what) for one in check(settings) if one.about == "log"]

    redis_client.hset(keys.meta(prefix), mapping={"partitions": 1, "pos": 0})
    assert said() == [("ok", "1 partition(s), 0 events")]
    redis_client.hset(keys.meta(prefix), "pos", 1)
    redis_client.xadd(keys.log(prefix), {"type": "job.submitted"}, "1-0")
    assert said() == [("ok", "1 partition(s), 1 events")]
    stranger = redis_client.xadd(keys.log(prefix), {"x": "y"}, "3-0")
    redis_client.xdel(keys.log(prefix), stranger)
    level, what = said()[0]
    assert level == "fail"
    assert what.startswith("partition 0 ends at 1, but its stream at 3-0: ")
