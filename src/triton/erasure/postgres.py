"""Owns subject keys in a PostgreSQL database of their own."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from triton.erasure.store import Destroyed, away, erased
from triton.errors import ConfigurationError
from triton.statements import statements_of

_STORE: Final = "PostgreSQL"
_PEPPER: Final = 32

_sql = statements_of("triton.erasure")


class PostgresKeys:
    """One connection, opened when it is first used and again when it was lost. Safe from any thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None

    def pepper(self) -> bytes:
        found = self._rows("pepper_get")
        if not found:
            self._rows("pepper_put", secrets.token_bytes(_PEPPER))
            found = self._rows("pepper_get")
        return bytes(found[0][0])

    def make(self, key_id: str, blob: bytes) -> bytes:
        # One statement: whoever comes second gets the first one's blob, or the tombstone.
        self._rows("make", key_id, blob)
        found = self.read(key_id)
        assert found is not None
        return found

    def read(self, key_id: str) -> bytes | None:
        found = self._rows("read", key_id)
        if not found:
            return None
        blob, at = found[0]
        if at is not None:
            raise erased(key_id)
        return bytes(blob)

    def destroy(self, key_id: str) -> Destroyed:
        new = bool(self._rows("destroy", key_id, time.time_ns() // 1000))
        # The old version of the row goes at once, not when somebody vacuums.
        self._rows("vacuum")
        at = self.erased_at(key_id)
        assert at is not None
        return Destroyed(key_id, at, new)

    def erased_at(self, key_id: str) -> int | None:
        found = self._rows("read", key_id)
        return found[0][1] if found else None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _rows(self, name: str, *values: object) -> Sequence[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._once(name, values)
            except psycopg.errors.UndefinedTable as error:
                raise ConfigurationError(
                    "the database of TRITON_SUBJECT_KEYS has no table subject_keys: run `triton migrate up` "
                    "with that setting",
                    setting="subject_keys",
                ) from error
            except psycopg.OperationalError:
                # A connection that was lost while nobody looked. Every statement bears a repetition.
                self._connection = None
            try:
                return self._once(name, values)
            except psycopg.Error as error:
                self._connection = None
                raise away(_STORE, error) from error

    def _once(self, name: str, values: Sequence[object]) -> Sequence[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=10, application_name="triton keys"
            )
        cursor = self._connection.execute(_sql(name), values or None)
        return cursor.fetchall() if cursor.description else []
