"""Owns the relay: rows of the outbox become jobs, in order, each exactly one, whatever dies when.

A row's job id is in the row. A batch is locked, submitted and deleted in one transaction: a relay that dies
in between leaves the rows, and the next one submits them again, which the log knows as the same jobs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from dramatiq import Message

from triton.errors import ConfigurationError, TritonError, UnavailableError, ValidationError
from triton.observe.logger import get_logger
from triton.observe.signs import signs
from triton.outbox.rows import Row, message_of
from triton.outbox.statements import sql
from triton.references import MAX_ARCHIVED
from triton.settings import Settings
from triton.submit import DEFAULT_QUEUE
from triton.submitter import Accepted, Deferred, Outcome, Refused, Submitter

#: Rows, and bytes of them, in one transaction at most (a single row may be larger).
BATCH: Final = 200
BATCH_BYTES: Final = 8 * 1024 * 1024
#: Seconds between two looks at the table where no notification comes.
POLL: Final = 1.0
#: Seconds until a row is tried again that cannot go now.
DEFER: Final = 15.0
_FIRST, _LONGEST = 0.1, 10.0
_log: Final = get_logger("triton.outbox")

Connection = psycopg.Connection[Any]


class Relay:
    """Drains one outbox until `stop` is set. Several may run side by side, on any machines.

    Raises ConfigurationError for a missing URL. What is away is waited for.
    """

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        if not settings.outbox_url:
            raise ConfigurationError(
                "TRITON_OUTBOX_URL is not set: give the postgresql:// URL of the database that holds the "
                "table triton_outbox",
                setting="outbox_url",
            )
        self._url = settings.outbox_url
        self._submitter = Submitter(settings)
        self._stop = stop
        self._delay = 0.0

    def run(self) -> None:
        """Returns once `stop` is set, at the latest POLL seconds later."""
        self._part = signs.part("outbox")
        while not self._stop.is_set():
            try:
                with psycopg.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=10,
                    # Behind a pooler the next transaction may be on another server connection.
                    prepare_threshold=None,
                    application_name="triton relay",
                ) as connection:
                    self._follow(connection)
            except psycopg.errors.UndefinedTable:
                self._wait("the table triton_outbox is missing: run `triton outbox install`")
            except psycopg.Error as error:
                self._wait(f"PostgreSQL: {error}")
            except TritonError as error:
                self._wait(error.message)
        self._submitter.close()

    def _follow(self, connection: Connection) -> None:
        connection.execute("LISTEN triton_outbox")
        while not self._stop.is_set():
            if self._drain(connection) == 0:
                for _ in connection.notifies(timeout=POLL, stop_after=1):
                    pass

    def _drain(self, connection: Connection) -> int:
        """Move one batch; answers how many rows it looked at."""
        with connection.transaction():
            # A relay whose machine vanished must not hold its rows for ever.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = '120s'")
            taken = connection.execute(sql("take"), (BATCH,)).fetchall()
            ids, too_large = _within(taken)
            for number, size in too_large:
                reason = f"the row has {size} bytes of JSON, at most {MAX_ARCHIVED} are taken"
                self._refuse(connection, number, reason)
            if ids:
                found = connection.execute(sql("read"), (ids,)).fetchall()
                self._move(connection, [Row(*values) for values in found])
        self._part.moved()
        if self._delay:
            _log.info("outbox_goes_on")
            self._delay = 0.0
        return len(taken)

    def _move(self, connection: Connection, rows: Sequence[Row]) -> None:
        queues = self._submitter.queues_of({row.actor for row in rows if row.queue is None})
        now_ms = time.time_ns() // 1_000_000
        messages: list[Message[Any]] = []
        sent: list[Row] = []
        for row in rows:
            try:
                messages.append(
                    message_of(row, queue=queues.get(row.actor, DEFAULT_QUEUE), now_ms=now_ms)
                )
                sent.append(row)
            except ValidationError as error:
                self._refuse(connection, row.id, error.message)
        moved = []
        for row, outcome in zip(sent, self._submitted(messages), strict=True):
            match outcome:
                case Accepted():
                    moved.append(row.id)
                case Deferred(reason):
                    connection.execute(sql("defer"), (DEFER, reason, row.id))
                case Refused(reason):
                    self._refuse(connection, row.id, reason)
        connection.execute(sql("remove"), (moved,))

    def _submitted(self, messages: Sequence[Message[Any]]) -> list[Outcome]:
        try:
            return self._submitter.submit(messages)
        except UnavailableError as error:
            raise UnavailableError(f"Redis: {error.message}") from error

    def _refuse(self, connection: Connection, number: int, reason: str) -> None:
        connection.execute(sql("refuse"), (_storable(reason), number))
        _log.warning("outbox_row_refused", row=number, error=reason)

    def _wait(self, reason: str) -> None:
        self._delay = min(_LONGEST, max(_FIRST, self._delay * 2))
        _log.warning("outbox_waits", seconds=self._delay, error=" ".join(reason.split()))
        self._stop.wait(self._delay)


def _within(taken: Sequence[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
    """The first rows that fit into one batch, and those that are too large for a job."""
    ids: list[int] = []
    too_large: list[tuple[int, int]] = []
    total = 0
    for number, size in taken:
        if size > MAX_ARCHIVED:
            too_large.append((number, size))
            continue
        total += size
        if ids and total > BATCH_BYTES:
            break
        ids.append(number)
    return ids, too_large


def _storable(reason: str) -> str:
    """PostgreSQL's text holds no NUL and no lone surrogate."""
    return reason.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:4000]
