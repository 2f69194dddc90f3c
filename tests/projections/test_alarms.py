"""A log that broke a promise stops both projectors with its reason, and nothing of it is applied."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from log_writer import LogWriter
from projecting import BOTH, Make, catch_up, clickhouse_projection, project, run

from triton.errors import ForeignEntryError, HoleError, LogForkedError, TritonError
from triton.projections.verify import verify
from triton.settings import Settings

Harm = Callable[[LogWriter], None]


def delete_next(writer: LogWriter) -> None:
    writer.run()
    writer.client.xdel(writer.stream, "5-0")


def trim_unread(writer: LogWriter) -> None:
    writer.run()
    writer.client.xtrim(writer.stream, minid="6-0", approximate=False)


def foreign_entry(writer: LogWriter) -> None:
    writer.client.xadd(writer.stream, {"hello": "world"}, id="4-0")


def foreign_id(writer: LogWriter) -> None:
    writer.client.xadd(writer.stream, {"hello": "world"})


def replace_tail(writer: LogWriter) -> None:
    """What a failover leaves that lost the last event, before another was written in its place."""
    writer.client.delete(writer.stream)
    writer.client.hset(writer.prefix + "meta", "pos", 0)
    writer.run(2)


def lose_tail(writer: LogWriter) -> None:
    writer.client.delete(writer.stream)
    writer.client.hset(writer.prefix + "meta", "pos", 0)
    writer.submit()


def another_log(writer: LogWriter) -> None:
    writer.client.hset(writer.prefix + "meta", "epoch", "other")


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (delete_next, HoleError),
        (trim_unread, HoleError),
        (foreign_entry, ForeignEntryError),
        (foreign_id, ForeignEntryError),
        (replace_tail, LogForkedError),
        (lose_tail, LogForkedError),
        (another_log, LogForkedError),
    ],
)
def test_the_projector_stops(
    settings: Settings,
    writer: LogWriter,
    postgres: psycopg.Connection,
    make: Make,
    harm: Harm,
    error: type[TritonError],
) -> None:
    writer.run()
    project(settings, make)
    harm(writer)
    with pytest.raises(error):
        run(catch_up(settings, make, batch=1 if harm is delete_next else None, end=1_000_000))
    reached = 4 if harm is delete_next else 3
    assert postgres.execute("SELECT position FROM checkpoints").fetchone() == (reached,)
    if error is LogForkedError:
        with pytest.raises(LogForkedError):
            verify(settings)


def test_other_content_in_a_range_that_was_begun_is_a_fork(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    writer.run()
    project(settings, clickhouse_projection)
    writer.run()
    postgres.execute(
        "INSERT INTO insert_intents (projector, partition, epoch, first_position, last_position, rows,"
        " digest) SELECT projector, partition, epoch, 4, 6, 3, 'of another entry' FROM checkpoints"
    )
    with pytest.raises(LogForkedError, match="positions 4 to 6 of partition 0 were inserted"):
        project(settings, clickhouse_projection)
