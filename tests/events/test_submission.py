"""Owns how a message becomes a submission: what is refused and by which name, and ids that repeat."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from dramatiq import Message
from hypothesis import given
from hypothesis import strategies as st
from log_steps import Steps

from triton.errors import ValidationError
from triton.events.codec import decode_data
from triton.events.replies import claimed
from triton.events.types import SCHEMA, Submitted
from triton.submit import (
    MAX_BODY,
    MAX_NAME,
    Caller,
    child_id,
    job_id_for,
    message_for,
    submission_of,
)

_ANYBODY = Caller("u")


def message(**changes: Any) -> Message[Any]:
    fields = {"job": "j-1", "at_ms": 5, "actor": "act", "queue": "q", **changes}
    return message_for(**fields)


def test_a_submission_says_what_the_message_says() -> None:
    sent = message(args=(1, "ü"), kwargs={"k": None}, options={"max_retries": 2})
    made = submission_of(sent, Caller("user:ann", causation="job:p", correlation="c"), priority=3)
    assert (made.job, made.queue, made.actor, made.tenant, made.by) == (
        "j-1",
        "q",
        "act",
        "default",
        "user:ann",
    )
    assert (made.causation, made.correlation, made.priority, made.due) == ("job:p", "c", 3, 0)
    assert Message.decode(made.body) == sent
    data = decode_data("job.submitted", SCHEMA, made.data)
    assert data == Submitted(actor="act", body=made.body, priority=3)


def test_options_of_the_message_win() -> None:
    options = {"tenant": "t2", "priority": -5, "correlation": "c2", "traceparent": "00-1-2-01"}
    made = submission_of(
        message(options=options),
        Caller("u", tenant="t", correlation="c", traceparent="x"),
        priority=1,
    )
    assert (made.tenant, made.priority, made.correlation, made.traceparent) == (
        "t2",
        -5,
        "c2",
        "00-1-2-01",
    )


def test_a_job_that_belongs_to_itself_has_no_correlation() -> None:
    assert submission_of(message(), Caller("u", correlation="j-1")).correlation == ""


@pytest.mark.parametrize("trace", ["a" * (MAX_NAME + 1), "00-\n", "\ud800", "\0"])
def test_a_trace_context_that_is_none_is_dropped(trace: str) -> None:
    assert submission_of(message(), Caller("u", traceparent=trace)).traceparent == ""


BAD_NAMES = ["x" * (MAX_NAME + 1), "a\nb", "a\0", "\u2028", "\ud800"]


@pytest.mark.parametrize("name", ["", *BAD_NAMES], ids=ascii)
@pytest.mark.parametrize(
    ("field", "argument"), [("message_id", "job"), ("queue", "queue"), ("actor", "actor")]
)
def test_a_bad_name_is_refused_by_its_field(field: str, argument: str, name: str) -> None:
    assert refused(message(**{argument: name})) == field


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
@pytest.mark.parametrize("field", ["tenant", "correlation"])
def test_a_bad_option_is_refused_by_its_field(field: str, name: str) -> None:
    assert refused(message(options={field: name})) == field
    assert refused(message(), Caller("u", **{field: name})) == field


@pytest.mark.parametrize("priority", [1001, -1001, 1.0, True, "1", None])
def test_a_bad_priority_is_refused(priority: Any) -> None:
    assert refused(message(), priority=priority) == "priority"
    assert refused(message(options={"priority": priority})) == "priority"


@pytest.mark.parametrize("value", [-1, 2**53, 1.5, True, None])
@pytest.mark.parametrize("field", ["due", "delay"])
def test_a_bad_time_is_refused(field: str, value: Any) -> None:
    assert refused(message(), **{field: value}) == field


def test_a_due_time_and_a_delay_are_one_too_many() -> None:
    assert refused(message(), due=5, delay=5) == "delay"


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"x", 10**5000], ids=["object", "set", "bytes", "number"]
)
@pytest.mark.parametrize("field", ["args", "options"])
def test_what_cannot_be_encoded_is_refused_by_its_field(field: str, value: object) -> None:
    odd = message(**{field: (value,) if field == "args" else {"max_age": value}})
    with pytest.raises(ValidationError, match="not to be encoded") as refused:
        submission_of(odd, Caller("system"))
    assert refused.value.details["fields"][0]["field"] == field


def test_a_large_message_is_refused_with_the_way_out() -> None:
    fixed = len(message(args=("",)).encode())
    submission_of(message(args=("x" * (MAX_BODY - fixed),)), Caller("u"))
    with pytest.raises(ValidationError, match="set TRITON_ARCHIVE_URL") as found:
        submission_of(message(args=("x" * (MAX_BODY - fixed + 1),)), Caller("u"))
    assert found.value.details["fields"][0]["field"] == "args"


def refused(sent: Message[Any], caller: Caller = _ANYBODY, **arguments: Any) -> str:
    """The field that a refusal names: in its message for a person, and in its details."""
    with pytest.raises(ValidationError) as found:
        submission_of(sent, caller, **arguments)
    (detail,) = found.value.details["fields"]
    assert found.value.message.startswith(f"{detail['field']} is ")
    assert "expected" in detail["message"]
    return str(detail["field"])


@given(st.text(min_size=1, max_size=MAX_NAME).filter(str.isprintable))
def test_every_printable_name_is_taken(name: str) -> None:
    sent = message(job=name, actor=name, queue=name, options={"tenant": name})
    made = submission_of(sent, Caller("u", correlation=name))
    assert made.job == made.actor == made.queue == made.tenant == name


def test_idempotency_keys_are_per_tenant_and_for_ever() -> None:
    assert job_id_for("t", "k") == "b92af14a-c911-5169-b49b-1ab1af29a611"
    assert child_id("j-1", 1, 0) == "28bbc2f0-9caf-5d3c-8db4-2cdd2e4880b1"


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_other_keys_are_other_jobs(one: tuple[str, str], other: tuple[str, str]) -> None:
    tenants = one[0] + other[0]
    if "\0" not in tenants:  # no printable name holds one
        assert (job_id_for(*one) == job_id_for(*other)) == (one == other)
    assert str(uuid.UUID(job_id_for(*one))) == job_id_for(*one)


def test_children_differ_by_parent_attempt_and_number() -> None:
    ids = {child_id(p, a, n) for p in ("j", "j1") for a in (1, 11) for n in (1, 11)}
    assert len(ids) == 8


def test_a_message_goes_through_the_log(steps: Steps) -> None:
    """From a message to what a worker gets, with the server's delay."""
    sent = message(job="ünï ☃", args=(1,), queue="q")
    made = submission_of(sent, Caller("u"), delay=1)
    steps.run(steps.scripts.submit(steps.prefix, [made]))
    steps.outlive(made.job)
    got = claimed(steps.run(steps.claim("w"))[0])
    assert [Message.decode(job.body) for job in got.jobs] == [sent]
