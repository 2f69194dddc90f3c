"""Which rule an event is under, and which hold covers it."""

from __future__ import annotations

from triton.audit.rules import Hold, Retention, days_of, held_by


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
