"""Which rule an event is under, and which hold covers it."""

from __future__ import annotations

from triton.audit.outliving import Contents
from triton.audit.rules import DAY, Hold, Retention, days_of, held_by
from triton.events.entries import Page
from triton.events.envelope import AT, JOB, QUEUE, TENANT


def test_the_closest_rule_holds_and_what_nobody_said_is_for_ever() -> None:
    rules = [Retention("", "q", 5), Retention("a", "", 30), Retention("a", "q", 0)]
    assert days_of(rules, "a", "q") == 0
    assert days_of(rules, "a", "other") == 30
    assert days_of(rules, "b", "q") == 5
    assert days_of(rules, "b", "other") == 0
    assert days_of([*rules, Retention("", "", 9)], "b", "other") == 9


def test_a_hold_covers_its_scope_only_and_not_once_it_is_lifted() -> None:
    on = Hold("h", "queue", "q", "why", "user:ann", 1)
    assert held_by([on], {"q"}, {"other"}, {"q"}) is None
    assert held_by([on], {"t"}, {"q"}, {"j"}) == on
    lifted = Hold("h", "queue", "q", "why", "user:ann", 1, "user:bob", 2)
    assert held_by([lifted], {"t"}, {"q"}, {"j"}) is None


def _page(*events: tuple[str, str, str, int]) -> Page:
    """Of (tenant, queue, job, day)."""
    columns = [[b""] * len(events) for _ in range(13)]
    for index, (tenant, queue, job, day) in enumerate(events):
        columns[JOB][index], columns[AT][index] = job.encode(), b"%d" % (day * DAY)
        columns[TENANT][index], columns[QUEUE][index] = tenant.encode(), queue.encode()
    return Page(0, range(1, len(events) + 1), columns)


def test_a_segment_is_kept_as_long_as_its_longest_kept_event() -> None:
    rules = [Retention("a", "", 10), Retention("b", "", 100), Retention("", "", 1)]
    contents = Contents()
    contents.take(_page(("a", "q", "j1", 1), ("b", "q", "j2", 2), ("", "", "", 3)))
    assert contents.kept_by(rules, [], 102 * DAY - 1) == "kept until 1970-04-13 00:00:00 UTC"
    assert contents.kept_by(rules, [], 102 * DAY) == ""
    assert "for ever" in contents.kept_by(rules[:2], [], 10_000 * DAY), "nobody said of no job's"
    for scope, value in (("tenant", "b"), ("queue", "q"), ("job", "j1")):
        hold = Hold("h", scope, value, "why", "user:ann", 1)  # type: ignore[arg-type]
        assert contents.kept_by(rules, [hold], 10_000 * DAY) == f"h holds {scope} {value}"
    other = Hold("h", "job", "j3", "why", "user:ann", 1)
    assert contents.kept_by(rules, [other], 10_000 * DAY) == ""
    contents.placed.add("h")
    assert contents.kept_by(rules, [other], 10_000 * DAY) == "h was placed here"
    lifted = Hold("h", "job", "j3", "why", "user:ann", 1, "user:bob", 2)
    assert contents.kept_by(rules, [lifted], 10_000 * DAY) == ""
