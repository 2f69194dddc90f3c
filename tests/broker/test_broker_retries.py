"""Tries retry policies: presets, own ones, per actor and per submit, and errors that end a job."""

from __future__ import annotations

from typing import Any

import dramatiq
import pytest
from broker_kit import Run
from broker_log import History
from dramatiq import Message

import triton
from triton import Snooze, TritonBroker, current_job
from triton.api.submission import SubmitOptions, SubmitRequest, submission_for
from triton.errors import ValidationError
from triton.events.types import Failed, RetryScheduled
from triton.retry import NONE, STANDARD, RetryPolicy
from triton.submit import Caller

QUICK = RetryPolicy(max_retries=3, min_backoff=10, max_backoff=25)


def waits(history: History, job: str) -> list[float]:
    """The milliseconds that the log's server was to wait before each retry."""
    scheduled = ((e.at, e.data) for e in history.of(job) if isinstance(e.data, RetryScheduled))
    return [(data.due - at) / 1000 for at, data in scheduled if isinstance(data, RetryScheduled)]


def test_waits_grow_up_to_the_limit_and_are_never_shorter_than_said() -> None:
    assert [STANDARD.wait_ms(n, 0.0) for n in range(3)] == [2_000, 4_000, 8_000]
    assert [STANDARD.wait_ms(n, 1.0) for n in range(3)] == [2_200, 4_400, 8_800]
    assert STANDARD.max_retries == 3
    assert NONE.max_retries == 0
    endless = RetryPolicy(max_retries=1_000_000, min_backoff=1, factor=100, jitter=0)
    assert endless.wait_ms(999_999, 0.5) == endless.max_backoff


@pytest.mark.parametrize("place", ["actor", "submit"])
def test_a_policy_says_how_often_and_when(
    broker: TritonBroker, run: Run, history: History, place: str
) -> None:
    @dramatiq.actor(actor_name="policed", retry=QUICK)
    def policed() -> None:
        raise ValueError("no")

    @dramatiq.actor(max_retries=7, min_backoff=60_000)
    def stock() -> None:
        raise ValueError("no")

    message = policed.send() if place == "actor" else stock.send_with_options(retry=QUICK)
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.types(message.message_id) == [
        *("submitted", *("started", "retry_scheduled", "due") * 3, "started", "failed")
    ]
    for wait, least in zip(waits(history, message.message_id), (10, 20, 25), strict=True):
        assert least <= wait <= least * 1.1


def test_a_name_and_single_options_can_be_mixed(
    broker: TritonBroker, run: Run, history: History
) -> None:
    bodies = []

    @dramatiq.actor(retry="standard", max_retries=1, min_backoff=15, max_backoff=15)
    def work() -> None:
        bodies.append(dict(current_job()._proxy.options))
        raise ValueError("no")

    two = work.send_with_options(max_retries=2)
    one = work.send()
    none = work.send_with_options(retry="none")
    with run(broker):
        broker.join("default", timeout=30_000)
    for message, retries in ((two, 2), (one, 1), (none, 0)):
        assert history.types(message.message_id).count("retry_scheduled") == retries
    assert 15 <= waits(history, one.message_id)[0] <= 16.5
    kept = [{key for key in body if key in ("max_retries", "retry")} for body in bodies]
    assert set() in kept, "a policy leaves nothing behind in the next attempt's message"


class BadInputError(ValueError):
    pass


@pytest.mark.parametrize(
    ("named", "retried"),
    [
        (["ValueError"], False),
        (["test_broker_retries.BadInputError"], False),
        ([BadInputError], False),
        ("BadInputError", False),
        (["KeyError", "other.BadInputError"], True),
    ],
)
def test_named_errors_end_the_job(
    broker: TritonBroker, run: Run, history: History, named: Any, retried: bool
) -> None:
    @dramatiq.actor(max_retries=1)
    def work() -> None:
        raise BadInputError("no")

    message = work.send_with_options(no_retry=named)
    with run(broker):
        broker.join("default", timeout=30_000)
    kinds = history.types(message.message_id)
    assert ("retry_scheduled" in kinds, kinds[-1]) == (retried, "failed")
    failed = history.of(message.message_id)[-1].data
    assert isinstance(failed, Failed)
    assert failed.error.type == "BadInputError"


def test_a_job_that_ends_as_its_actor_said_is_no_error_in_the_log(
    broker: TritonBroker, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    @dramatiq.actor(throws=BadInputError, max_retries=0)
    def expected() -> None:
        raise BadInputError("as said")

    @dramatiq.actor(max_retries=0)
    def once_more() -> None:
        raise dramatiq.Retry("one too many")

    expected.send()
    once_more.send()
    with caplog.at_level("INFO"), run(broker):
        broker.join("default", timeout=30_000)
    said = {record.levelname for record in caplog.records if "job_failed" in record.getMessage()}
    assert said == {"INFO", "WARNING"}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"retry": "often"}, "retry", "'often', expected one of standard, none"),
        ({"retry": {"max_retries": -1}}, "retry", "Expected `int` >= 0"),
        ({"retry": {"tries": 3}}, "retry", "unknown field `tries`"),
        ({"no_retry": [3]}, "no_retry", "3, expected exception classes or their names"),
        ({"throws": ["ValueError"]}, "throws", "give names as no_retry"),
        ({"throws": {"error": 1}}, "throws", "give names as no_retry"),
    ],
)
def test_what_is_no_policy_is_refused_when_it_is_said(
    broker: TritonBroker, options: dict[str, Any], field: str, said: str
) -> None:
    @dramatiq.actor
    def work() -> None:
        pass

    with pytest.raises(ValidationError, match=said) as refused:
        work.send_with_options(**options)
    assert refused.value.details["fields"][0]["field"] == field
    assert broker.count("default") == {"ready": 0, "due": 0, "leases": 0}
    if "retry" in options:
        with pytest.raises(ValidationError, match=said):
            dramatiq.actor(actor_name="other", **options)(work.fn)


def test_the_api_takes_the_same_options() -> None:
    def message(options: SubmitOptions) -> Message[Any]:
        request = SubmitRequest(actor="work", options=options)
        made = submission_for(request, Caller("key:k", tenant="t"), job="j", queue="q", at_ms=0)
        return Message.decode(made.body)

    said = message(SubmitOptions(retry="standard", no_retry=["ValueError"])).options
    assert said == {"retry": "standard", "no_retry": ["ValueError"]}
    own = message(SubmitOptions(retry=QUICK)).options["retry"]
    assert triton.retry.policy_from(own) == QUICK
    with pytest.raises(ValidationError, match="expected one of standard, none"):
        message(SubmitOptions(retry="often"))


def test_a_snooze_counts_against_no_limit(broker: TritonBroker, run: Run, history: History) -> None:
    @dramatiq.actor(retry=RetryPolicy(max_retries=1, min_backoff=10))
    def work() -> str:
        match current_job().attempt:
            case 1 | 3 | 5:
                raise Snooze(1, "not yet")
            case 2:
                raise ValueError("once")
        return "done" if current_job().attempt == 6 else current_job().snooze(1)

    message = work.send()
    with run(broker):
        assert message.get_result(block=True, timeout=30_000) == "done"
    kinds = history.types(message.message_id)
    assert (kinds.count("snoozed"), kinds.count("retry_scheduled")) == (4, 1)
    history.check()
