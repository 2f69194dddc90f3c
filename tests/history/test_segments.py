"""Which segment has a position, where a log has several lives and PostgreSQL may have forgotten something."""

from __future__ import annotations

import pytest

from triton.history.segments import NOT_EXPIRED, Segment, at, dense, joined, united


def segments(epoch: str, *bounds: tuple[int, int]) -> list[Segment]:
    return [
        Segment(first, last, epoch, f"{epoch}/{first}", 1, 10 * first, 10 * last)
        for first, last in bounds
    ]


OLD = segments("old", (1, 4), (5, 9), (10, 14))


@pytest.mark.parametrize(
    ("new", "wanted"),
    [
        ([], [(1, 4, "old"), (5, 9, "old"), (10, 12, "old")]),
        ([(1, 7)], [(1, 7, "new"), (8, 9, "old"), (10, 12, "old")]),
        ([(1, 4), (8, 9)], [(1, 4, "new"), (5, 7, "old"), (8, 9, "new"), (10, 12, "old")]),
        ([(1, 20)], [(1, 20, "new")]),
        ([(11, 20)], [(1, 4, "old"), (5, 9, "old"), (10, 10, "old"), (11, 20, "new")]),
    ],
)
def test_a_new_life_takes_over_piece_by_piece(
    new: list[tuple[int, int]], wanted: list[tuple[int, int, str]]
) -> None:
    """Up to position 12, which both share, every position is in one segment at any time."""
    found = joined([(segments("new", *new), None), (OLD, 12)])
    assert [(one.first, one.last, one.epoch) for one in found] == wanted
    assert dense(found, NOT_EXPIRED)
    for one in found:
        whole = one.last in {last for _, last in new} | {4, 9}
        assert one.last_at == (10 * one.last if whole else 0), "no time of an event that is not its"


def test_what_postgresql_forgot_is_what_the_archive_has() -> None:
    (_, second, third) = OLD
    forgot = segments("old", (5, 9))
    assert not dense([OLD[0], third], NOT_EXPIRED)
    assert not dense([second, third], NOT_EXPIRED)
    there = segments("old", (1, 4), (5, 9), (6, 8), (10, 14), (15, 16))
    found = united([OLD[0], third], there)
    assert [(one.first, one.last) for one in found] == [(1, 4), (5, 9), (10, 14), (15, 16)]
    assert found[1] == forgot[0]
    assert at(found, 7) == forgot[0]
