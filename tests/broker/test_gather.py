"""How many outcomes a trip waits for: all that are held, but not for jobs that run for long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from triton.broker.gather import Gather


def test_jobs_that_end_together_go_together() -> None:
    gather = Gather()
    for _ in range(100):
        assert gather.wanted(8) == 8
        gather.came(8, 8)


def test_one_quick_thread_among_long_jobs_waits_in_vain_only_now_and_then() -> None:
    gather = Gather()
    vain = 0
    for _ in range(320):
        wanted = gather.wanted(8)
        vain += wanted > 1
        gather.came(1, wanted)
    assert 1 <= vain <= 11


@given(st.lists(st.tuples(st.integers(1, 32), st.integers(0, 32)), max_size=200))
def test_never_more_than_are_held_and_never_none(trips: list[tuple[int, int]]) -> None:
    gather = Gather()
    for held, came in trips:
        wanted = gather.wanted(held)
        assert 1 <= wanted <= held
        gather.came(min(came, wanted), wanted)
