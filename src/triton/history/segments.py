"""Owns which positions of a partition lie in which segment, over all lives of its log. Pure.

Each life of a log has segments of its own. After an adoption the positions that both lives share are read
from the new life's segments where it has them, and from the old one's where it does not yet.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from triton.errors import ExpiredError
from triton.evidence import layout


class Segment(msgspec.Struct, frozen=True):
    """A sealed segment, as far as it is to be read: from `first` to `last`, both included.

    `size` is in bytes and 0 where nobody said it; times are microseconds since 1970 and 0 likewise.
    """

    first: int
    last: int
    epoch: str
    key: str
    size: int = 0
    first_at: int = 0
    last_at: int = 0


class Expired(msgspec.Struct, frozen=True):
    """Positions 1 to `until` of a partition have expired. `event` is the position of the event that says so,
    0 where only the archive was asked; `at` the day (text), empty likewise."""

    until: int = 0
    event: int = 0
    at: str = ""


NOT_EXPIRED: Final = Expired()


def expired_error(partition: int, first: int, last: int, expired: Expired) -> ExpiredError:
    """The error for positions that were asked for, of which at least the first has expired."""
    said = ", as an event segment.expired says"
    if expired.event:
        said = f" on {expired.at}, as the event segment.expired at position {expired.event} says"
    return ExpiredError(
        f"positions {first} to {min(last, expired.until)} of partition {partition} are not there any more: "
        f"all up to {expired.until} has expired{said}. The log begins at {expired.until + 1}",
        partition=partition,
        position=first,
        until=expired.until,
        event=expired.event,
    )


def of_rows(epoch: str, rows: Iterable[Mapping[str, Any]]) -> list[Segment]:
    """The segments as `sql/segments.sql` tells of them."""
    return [
        Segment(
            first=row["first_position"],
            last=row["last_position"],
            epoch=epoch,
            key=row["key"],
            size=row["size"],
            first_at=row["first_at"],
            last_at=row["last_at"],
        )
        for row in rows
    ]


def of_keys(epoch: str, keys: Iterable[str]) -> list[Segment]:
    """The segments among an archive's keys: those with a manifest, which is written last."""
    there = set(keys)
    ranges = {key: layout.range_of(key) for key in there if layout.manifest_of(key) in there}
    found = [
        Segment(span[0], span[1], epoch, key) for key, span in ranges.items() if span is not None
    ]
    return sorted(found, key=lambda segment: segment.first)


def expired_in(keys: Iterable[str]) -> Expired:
    """Up to where a tree has expired, by its archive's keys: leaf hashes are there and no bytes."""
    there = set(keys)
    ends = [
        span[1]
        for key in there
        if key.endswith(".leaves")
        and (segment := f"{key.removesuffix('.leaves')}.zst") not in there
        and (span := layout.range_of(segment))
    ]
    return Expired(max(ends)) if ends else NOT_EXPIRED


def behind(segments: Iterable[Segment], expired: Expired) -> list[Segment]:
    """Those of what did not expire; an earlier life may have other bounds, and its files still."""
    return [
        segment
        if segment.first > expired.until
        else msgspec.structs.replace(segment, first=expired.until + 1)
        for segment in segments
        if segment.last > expired.until
    ]


def united(told: Iterable[Segment], there: Iterable[Segment]) -> list[Segment]:
    """Those of one life that PostgreSQL tells of, and between and behind them those that the archive has."""
    rows = {segment.key for segment in told}
    found: list[Segment] = []
    every = [*told, *(segment for segment in there if segment.key not in rows)]
    for segment in sorted(every, key=lambda one: (one.first, one.key not in rows)):
        if not found or segment.first > found[-1].last:
            found.append(segment)
    return found


def dense(segments: Sequence[Segment], expired: Expired) -> bool:
    """Whether nothing is missing between them, nor before them but what expired."""
    ends = [expired.until, *(segment.last for segment in segments)]
    return all(segment.first <= end + 1 for end, segment in zip(ends, segments, strict=False))


def joined(lives: Sequence[tuple[Sequence[Segment], int | None]]) -> list[Segment]:
    """One list of segments that do not overlap, from those of each life, the present one first; with each
    the last position that it shares with the present one (None for that itself). What a later life has is
    read there; it may have no more than a part yet, of all positions from 1 on."""
    found: list[Segment] = []
    for segments, common in lives:
        spans = _spans(found)
        free = [
            part
            for segment in segments
            if common is None or segment.first <= common
            for part in _outside(segment, common or segment.last, spans)
        ]
        found = sorted(found + free, key=lambda segment: segment.first)
    return found


def at(segments: Sequence[Segment], position: int) -> Segment | None:
    """The segment with a position."""
    index = bisect_right(segments, position, key=lambda segment: segment.first) - 1
    if index >= 0 and segments[index].last >= position:
        return segments[index]
    return None


def _spans(segments: Iterable[Segment]) -> list[tuple[int, int]]:
    """First and last positions of what segments in order cover without a gap."""
    spans: list[tuple[int, int]] = []
    for segment in segments:
        if spans and segment.first == spans[-1][1] + 1:
            spans[-1] = spans[-1][0], segment.last
        else:
            spans.append((segment.first, segment.last))
    return spans


def _outside(segment: Segment, end: int, spans: Iterable[tuple[int, int]]) -> Iterator[Segment]:
    """What a segment has up to position `end`, and the spans have not."""
    begin, last = segment.first, min(segment.last, end)
    for first, until in spans:
        if until >= begin and first <= last:
            if first > begin:
                yield _part(segment, begin, first - 1)
            begin = until + 1
    if begin <= last:
        yield _part(segment, begin, last)


def _part(segment: Segment, first: int, last: int) -> Segment:
    if (first, last) == (segment.first, segment.last):
        return segment
    # Its last time is another event's now.
    last_at = segment.last_at if last == segment.last else 0
    return msgspec.structs.replace(segment, first=first, last=last, last_at=last_at)
