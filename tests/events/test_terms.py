"""Tries what a submission may ask for beside its call: which options are taken, refused, and compared."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from triton.errors import ValidationError
from triton.keys import partition_of
from triton.submit import Caller, job_id_for, message_for, submission_of
from triton.terms import Terms, terms_of
from triton.uniqueness import Unique, payload_digest, unique_digest, unique_of

NOW = 1_767_225_600_000_000
SECOND = 1_000_000
AT = datetime(2026, 1, 1, tzinfo=UTC)
#: In UTC it is in year 10,000.
END = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14)))
NAIVE = datetime(2027, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def test_a_time_to_run_at_is_taken_in_any_zone() -> None:
    when = (AT + timedelta(hours=1)).astimezone(timezone(timedelta(hours=-5)))

    assert terms_of({"run_at": when}, now=NOW) == Terms(due=NOW + 3600 * SECOND)


@pytest.mark.parametrize(
    ("options", "delay", "found"),
    [
        (
            {"run_at": NAIVE},
            None,
            "run_at is 2027-01-01T00:00:00, without a time zone",
        ),
        ({"run_at": AT}, None, "run_at is 2026-01-01T00:00:00.*a time to come"),
        ({"run_at": AT - timedelta(days=1)}, None, "and it is 2026-01-01T00:00:00.*now"),
        ({"run_at": "2027-01-01T00:00:00Z"}, None, "run_at is '2027.*an aware datetime"),
        ({"run_at": END}, None, "run_at is 9999-12-31.*a time that UTC has"),
        ({"run_at": AT + timedelta(days=1)}, 5, "run_at is given beside a delay"),
        ({}, -1, "delay is -1"),
        ({}, math.inf, "delay is inf"),
        ({}, math.nan, "delay is nan"),
        ({"ttl": 0}, None, "ttl is 0"),
        ({"ttl": True}, None, "ttl is True"),
        ({"ttl": 1.5}, None, "ttl is 1.5"),
        ({"ttl": 1000}, 1000, "ttl is 1000 ms, but the job is due 1000 ms from now"),
        ({"ttl": 1000, "run_at": AT + timedelta(seconds=2)}, None, "due 2000 ms from now"),
        ({"unique": 5}, None, "unique is 5"),
        ({"unique": {"per": "hour"}}, None, "unique has per"),
        ({"unique": {"conflict": "ignore"}}, None, "return | replace | reject"),
        ({"unique": ""}, None, "unique is"),
        ({"unique": {"window": -1}}, None, "unique is"),
        ({"idempotency_key": ""}, None, "idempotency_key is ''"),
        ({"idempotency_key": "k" * 256}, None, "a text of 1 to 255 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    options: dict[str, Any], delay: float | None, found: str
) -> None:
    with pytest.raises(ValidationError, match=found.replace("|", r"\|")) as refused:
        terms_of(options, now=NOW, delay_ms=delay)
    assert refused.value.details["fields"][0]["field"] == next(iter(options), "delay")


def test_a_past_time_under_an_idempotency_key_is_left_to_the_log() -> None:
    """It may be the repeat of a submit whose job has run already."""
    terms = terms_of({"run_at": AT - timedelta(days=1), "idempotency_key": "k"}, now=NOW)

    assert terms.due == NOW - 86_400 * SECOND


def test_an_actor_declares_terms_and_a_message_overrules_them() -> None:
    declared = {"ttl": 5000, "unique": True, "run_at": "not an actor's option"}

    assert terms_of({}, declared, now=NOW) == Terms(ttl=5 * SECOND, unique=Unique())
    assert terms_of({"ttl": 1, "unique": False}, declared, now=NOW) == Terms(ttl=1000)


def test_a_key_alone_is_short_for_a_dict() -> None:
    assert unique_of("k") == unique_of({"key": "k"}) == Unique(key="k")


def test_the_same_call_has_the_same_digest_and_any_other_another() -> None:
    same = payload_digest("a", (1, "x"), {"b": 1, "c": [2]})
    assert payload_digest("a", [1, "x"], {"c": [2], "b": 1}) == same

    by_arguments = Unique()
    digests = {
        unique_digest(by_arguments, "t", "a", (1,), {}),
        unique_digest(by_arguments, "t", "a", (2,), {}),
        unique_digest(by_arguments, "t", "b", (1,), {}),
        unique_digest(by_arguments, "u", "a", (1,), {}),
        unique_digest(Unique(key="1"), "t", "a", (1,), {}),
        unique_digest(Unique(key="1"), "t", "b", (1,), {}),
        unique_digest(Unique(key="2"), "t", "b", (1,), {}),
    }
    assert len(digests) == 7


def test_arguments_that_cannot_be_compared_ask_for_a_key() -> None:
    with pytest.raises(ValidationError, match="give `unique` a key"):
        unique_digest(Unique(), "t", "a", (object(),), {})


@pytest.mark.parametrize("key", ["", "order-7"])
def test_a_unique_job_lies_in_the_partition_of_its_key(key: str) -> None:
    for number in range(20):
        terms = Terms(unique=Unique(key=f"k{number}"), idempotency_key=key)
        message = message_for(job=f"job-{number}", at_ms=1, actor="a")
        made = submission_of(message, Caller("u"), terms=terms, partitions=7)

        assert partition_of(made.job, 7) == partition_of(made.unique, 7)
        assert submission_of(message, Caller("u"), terms=terms, partitions=7).job == made.job
        assert f'"message_id":"{made.job}"'.encode() in made.body


def test_terms_are_not_stored_with_the_message() -> None:
    options = {"ttl": 5, "unique": True, "run_at": AT, "idempotency_key": "k", "max_retries": 2}
    message = message_for(job="j", at_ms=1, actor="a", args=(1,), options=options)
    terms = Terms(ttl=5000, unique=Unique(), idempotency_key="k")

    made = submission_of(message, Caller("u"), terms=terms, keep_ms=7)

    assert b'"options":{"max_retries":2}' in made.body
    assert made.job == job_id_for("default", "k")
    assert (made.keep_ms, made.payload) == (7, payload_digest("a", (1,), {}))
