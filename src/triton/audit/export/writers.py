"""Owns the files that exported events are written to: JSON lines, CSV, Parquet, CloudEvents."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from triton.audit.export.rows import COLUMNS, Row, cloud_event
from triton.errors import ConfigurationError

Format: TypeAlias = Literal["jsonl", "csv", "parquet", "cloudevents"]

_encode: Final = msgspec.json.Encoder().encode


class Writer(Protocol):
    """One file of events."""

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None:
        """All is in the file."""


class _Lines:
    """One JSON value on a line."""

    def __init__(self, path: Path, line: Callable[[Row], Any]) -> None:
        self._file = path.open("xb")
        self._line = line

    def write(self, rows: Sequence[Row]) -> None:
        self._file.write(b"".join([_encode(self._line(row)) + b"\n" for row in rows]))

    def close(self) -> None:
        self._file.close()


class _Csv:
    """RFC 4180, with a line of names first; `data` is JSON."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)

    def write(self, rows: Sequence[Row]) -> None:
        self._writer.writerows([_values(row) for row in rows])

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """zstd, a row group for each batch; `time` is a timestamp in UTC, `data` JSON as text."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise ConfigurationError(
                "Parquet needs pyarrow, which is not installed: install triton-jobs[parquet], or take "
                "--format jsonl, csv or cloudevents"
            ) from error
        numbers = {
            "partition": pyarrow.int32(),
            "position": pyarrow.int64(),
            "version": pyarrow.int32(),
            "attempt": pyarrow.int32(),
            "time": pyarrow.timestamp("us", tz="UTC"),
        }
        self._arrow = pyarrow
        self._schema = pyarrow.schema(
            [(name, numbers.get(name, pyarrow.string())) for name in COLUMNS]
        )
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> None:
        columns = {
            name: [value(row) for row in rows] for name, value in zip(COLUMNS, _READ, strict=True)
        }
        columns["time"] = [datetime.fromisoformat(row.time) for row in rows]
        self._file.write_table(self._arrow.table(columns, schema=self._schema))

    def close(self) -> None:
        self._file.close()


def _text(name: str) -> Callable[[Row], Any]:
    if name == "data":
        return lambda row: bytes(row.data).decode()
    return lambda row: getattr(row, name)


_READ: Final = [_text(name) for name in COLUMNS]


def _values(row: Row) -> list[Any]:
    return [read(row) for read in _READ]


#: Format -> the file's name.
NAMES: Final[dict[Format, str]] = {
    "jsonl": "events.jsonl",
    "csv": "events.csv",
    "parquet": "events.parquet",
    "cloudevents": "events.cloudevents.jsonl",
}
_WRITERS: Final[dict[Format, Callable[[Path], Writer]]] = {
    "jsonl": lambda path: _Lines(path, lambda row: row),
    "csv": _Csv,
    "parquet": _Parquet,
    "cloudevents": lambda path: _Lines(path, cloud_event),
}


def writer(form: Format, folder: Path) -> Writer:
    """A new file in a folder. Raises ConfigurationError where a library is missing."""
    return _WRITERS[form](folder / NAMES[form])
