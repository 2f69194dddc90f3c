"""Owns what `verify` found: the report as values, and as text. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

#: Differences that a report lists; the rest is only counted.
LISTED: Final = 1000
_SHOWN: Final = 80
_encode: Final = msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One field of one row that is not what the log says. `field` is `row` for a row that is missing or
    should not be there. Values are shown as JSON or text."""

    #: `postgres.jobs`, `postgres.job_events` or `clickhouse.job_events`.
    table: str
    #: The job's id, or `partition:position` of an event.
    key: str
    field: str
    expected: str
    actual: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a partition one store was compared with: `rows` up to its checkpoint at `position`."""

    table: str
    partition: int
    position: int
    log_position: int
    rows: int


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a projector put aside."""

    projector: str
    partition: int
    position: int
    job: str
    reason: str


class Report(msgspec.Struct, kw_only=True):
    """What was compared, and what differs. Grows while `verify` works."""

    checked: list[Checked] = []
    differences: list[Difference] = []
    #: Differences that were found, listed or not.
    total: int = 0
    parked: list[ParkedEvent] = []
    #: What could not be compared, and why.
    notes: list[str] = []

    @property
    def ok(self) -> bool:
        """Everything that was compared equals the fold of the log, and nothing was put aside."""
        return not self.total and not self.parked

    def differ(self, table: str, key: str, field: str, expected: object, actual: object) -> None:
        self.total += 1
        if len(self.differences) < LISTED:
            self.differences.append(
                Difference(
                    table=table,
                    key=key,
                    field=field,
                    expected=_shown(expected),
                    actual=_shown(actual),
                )
            )


def render(report: Report) -> str:
    """The report for a terminal, ending with one line that says it all."""
    lines = []
    for one in report.checked:
        behind = one.log_position - one.position
        late = f", {behind} behind the log" if behind > 0 else ""
        lines.append(
            f"{one.table}, partition {one.partition}: {one.rows} rows up to position "
            f"{one.position} compared{late}"
        )
    lines += [f"note: {note}" for note in report.notes]
    for event in report.parked:
        lines.append(
            f"parked by {event.projector}: {event.partition}:{event.position} of job {event.job}: "
            f"{event.reason}"
        )
    lines += [
        f"{found.table} {found.key} {found.field}: expected {found.expected}, found {found.actual}"
        for found in report.differences
    ]
    if report.total > len(report.differences):
        lines.append(f"and {report.total - len(report.differences)} more differences")
    if report.ok:
        lines.append("verified: both stores equal the fold of the log")
    else:
        lines.append(f"NOT equal: {report.total} differences, {len(report.parked)} parked events")
    return "\n".join(lines)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else _encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
