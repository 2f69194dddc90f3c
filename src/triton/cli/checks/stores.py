"""Owns what the doctor wants of PostgreSQL and ClickHouse: versions, settings, migrations, projectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from triton.cli.checks.finding import Finding
from triton.errors import UnavailableError
from triton.settings import Settings

_OLDEST_CLICKHOUSE: Final = 25
_PARTITIONS: Final = "SELECT DISTINCT partition FROM job_events"
#: Seconds that a projector may be behind.
_LATE: Final = 10.0


def postgres(settings: Settings) -> Iterator[Finding]:
    """Raises psycopg.OperationalError where it does not answer."""
    import psycopg

    from triton.migration_targets import OLDEST_POSTGRES

    with psycopg.connect(settings.database_url, connect_timeout=3, autocommit=True) as connection:
        number = connection.info.server_version
        what = f"PostgreSQL {number // 10000}.{number % 10000} answers"
        if number < OLDEST_POSTGRES:
            yield Finding("fail", "postgres", what, "Triton needs PostgreSQL 16 or newer.")
            return
        else:
            yield Finding("ok", "postgres", what)
        used, limit = _one(
            connection,
            "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
            " WHERE backend_type = 'client backend'",
        )
        what = f"{used} of {limit} connections are used"
        if used > limit * 0.8:
            yield Finding(
                "warn", "postgres", what, "Raise max_connections, or run fewer processes."
            )
        else:
            yield Finding("ok", "postgres", what)
        (read_only,) = _one(connection, "SELECT current_setting('transaction_read_only') = 'on'")
        if read_only:
            advice = "Point TRITON_DATABASE_URL to the primary."
            yield Finding("fail", "postgres", "this server only reads", advice)
        (synchronous,) = _one(connection, "SELECT current_setting('synchronous_commit')")
        if synchronous == "off":
            advice = "A crash may lose a checkpoint with its rows; projectors do them again."
            yield Finding("warn", "postgres", "synchronous_commit is off", advice)
    yield from _migrations(settings, "postgres")


def clickhouse(settings: Settings) -> Iterator[Finding]:
    """Raises ClickHouseError where it does not answer."""
    import clickhouse_connect

    from triton.projections.clickhouse import SETTINGS

    with clickhouse_connect.get_client(
        dsn=settings.clickhouse_url, connect_timeout=3, send_receive_timeout=10
    ) as client:
        version = str(client.command("SELECT version()"))
        what = f"ClickHouse {version} answers"
        if int(version.partition(".")[0]) < _OLDEST_CLICKHOUSE:
            yield Finding("fail", "clickhouse", what, "Triton needs ClickHouse 25 or newer.")
        else:
            yield Finding("ok", "clickhouse", what)
        known = client.query(
            "SELECT name, readonly FROM system.settings WHERE name IN {names:Array(String)}",
            parameters={"names": list(SETTINGS)},
        ).result_rows
        locked = sorted(str(name) for name, readonly in known if readonly)
        if locked:
            yield Finding(
                "fail",
                "clickhouse",
                f"this user may not set {', '.join(locked)}",
                "The projector sends them with every insert: allow it in the user's profile.",
            )
        else:
            what = f"all settings of an insert may be sent ({len(known)} are known here)"
            yield Finding("ok", "clickhouse", what)
    try:
        yield from _migrations(settings, "clickhouse")
    except UnavailableError as error:
        advice = "PostgreSQL keeps the lock on them: see what is said of it."
        what = f"its migrations cannot be looked at: {error.message}"
        yield Finding("warn", "clickhouse", what, advice)


def projectors(settings: Settings) -> Iterator[Finding]:
    """How far each projector is behind the log."""
    from triton.projections.lag import read_lag

    held = _held(settings)
    for one in read_lag(settings):
        about = f"{one.projector} projector of partition {one.partition}"
        if one.parked:
            advice = "Look at parked_events for the reason; the jobs' other events are not applied."
            yield Finding("fail", "projectors", f"{about} parked {one.parked} events", advice)
        if one.forked:
            what = f"{about} stands still: {one.forked}"
            advice = (
                "`triton log status` shows what was lost; `triton log adopt` goes on without it."
                if one.log_position
                else "The log is empty: if Redis was lost, `triton restore` brings it back."
            )
            yield Finding("fail", "projectors", what, advice)
        elif one.projector == "clickhouse" and one.position and not _holds(held, one.partition):
            what = f"{about} is at position {one.position}, but ClickHouse holds no event of it"
            advice = "If it was lost: `triton projections rebuild clickhouse`, then `cutover`."
            yield Finding("fail", "projectors", what, advice)
        elif one.seconds > _LATE:
            what = f"{about} is {one.behind} events and {one.seconds:.0f} s behind"
            advice = "Does `triton projector` run, and what does its log say?"
            yield Finding("warn", "projectors", what, advice)
        else:
            yield Finding("ok", "projectors", f"{about} is {one.behind} events behind the log")


def _holds(held: set[int] | None, partition: int) -> bool:
    return held is None or partition in held


def _held(settings: Settings) -> set[int] | None:
    """The partitions that ClickHouse has events of; None where it does not answer, as its own check says."""
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        with clickhouse_connect.get_client(
            dsn=settings.clickhouse_url, connect_timeout=3, send_receive_timeout=10
        ) as client:
            return {int(row[0]) for row in client.query(_PARTITIONS).result_rows}
    except ClickHouseError:
        return None


def _migrations(settings: Settings, engine: str) -> Iterator[Finding]:
    from triton import migrate

    steps = migrate.status(settings.database_url, settings.clickhouse_url)
    mine = [step for step in steps if step.engine == engine]
    wrong = [step for step in mine if step.state != "applied"]
    if not wrong:
        yield Finding("ok", engine, f"all {len(mine)} migrations are applied")
    for step in wrong:
        name = f"migration {step.number:04} {step.name} is {step.state}"
        if step.state == "pending":
            yield Finding("fail", engine, name, "Run `triton migrate up`.")
        elif step.state == "changed":
            yield Finding(
                "fail", engine, name, "Its file differs from what was applied: restore it."
            )
        else:
            yield Finding("fail", engine, name, "The data belongs to a newer Triton: use that one.")


def _one(connection: Any, statement: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(statement).fetchone()
    return row
