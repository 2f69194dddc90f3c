"""Personal data on its way through jobs: plain in the actor, sealed everywhere else."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq import group, pipeline
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import StubBackend
from dramatiq.results.errors import ResultFailure
from stored import Platform

import triton
from eventually import eventually
from triton import TritonBroker
from triton.errors import ConfigurationError, ErasedError, ValidationError
from triton.events.types import Completed, Failed, RetryScheduled, Submitted
from triton.task_queue.triton_queue import TritonTaskQueue
from triton.uniqueness import Unique, unique_digest

SECRET = "bob@example.org"


def marked(subject: str = "user", **marks: Any) -> dict[str, Any]:
    return {"subject": subject, **marks}


def test_an_actor_gets_plain_values_and_nothing_else_does(platform: Platform) -> None:
    seen: list[Any] = []

    @dramatiq.actor(
        personal=marked(
            fields=["email", "card.number"], result=True, output=True, progress=True, steps=True
        )
    )
    def charge(user: int, email: str, card: dict[str, str], note: str = "") -> str:
        job = triton.current_job()
        job.progress(50, f"half of {email}")
        job.output(f"mail to {email}")
        seen.append((user, email, card, note, job.step("address", lambda: email.upper())))
        return email

    message = charge.send(17, SECRET, card={"number": "4111-1111", "kind": "debit"}, note="hello")
    platform.run()

    assert seen == [(17, SECRET, {"number": "4111-1111", "kind": "debit"}, "hello", SECRET.upper())]
    dump = platform.dump()
    for plain in (SECRET, SECRET.upper(), "4111-1111", "half of", "mail to"):
        assert plain.encode() not in dump, plain
    assert b"hello" in dump
    assert b"debit" in dump
    assert message.get_result() == SECRET
    assert TritonTaskQueue(platform.broker).status(message.message_id).result == SECRET


def test_what_is_not_marked_is_as_it_was(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton.Personal, "any_made", False)
    asked: list[object] = []
    monkeypatch.setattr("triton.erasure.keyring.keyring_of", asked.append)

    @dramatiq.actor
    def plain(user: int) -> int:
        return user

    message = plain.send(17)
    platform.run()

    first = platform.events(message.message_id)[0].data
    assert isinstance(first, Submitted)
    assert b"sealed" not in first.body
    assert message.get_result() == 17
    assert not asked, "no key is asked for"


def test_a_retry_is_sealed_too_and_so_is_what_the_error_says(platform: Platform) -> None:
    seen: list[str] = []

    @dramatiq.actor(max_retries=1, personal=marked(fields=["email"]))
    def charge(user: int, email: str) -> None:
        seen.append(email)
        raise ValueError(f"no card of {email}")

    message = charge.send(17, email=SECRET)
    platform.run()

    assert seen == [SECRET, SECRET]
    assert SECRET.encode() not in platform.dump()
    last = platform.events(message.message_id)[-1].data
    assert isinstance(last, Failed)
    assert last.error.type == "ValueError"
    with pytest.raises(ResultFailure, match=f"no card of {SECRET}"):
        message.get_result()
    told = TritonTaskQueue(platform.broker).status(message.message_id).error
    assert told == f"ValueError: no card of {SECRET}"


def test_errors_may_stay_readable(platform: Platform) -> None:
    @dramatiq.actor(max_retries=0, personal=marked(fields=["email"], errors=False))
    def charge(user: int, email: str) -> None:
        raise ValueError("no card")

    message = charge.send(17, SECRET)
    platform.run()

    last = platform.events(message.message_id)[-1].data
    assert isinstance(last, Failed)
    assert last.error.message == "no card"


def test_values_can_be_marked_where_they_are_sent(platform: Platform) -> None:
    seen: list[Any] = []

    @dramatiq.actor(max_retries=0)
    def plain(people: list[dict[str, Any]], more: Any) -> None:
        seen.append((people, more))
        if more == "fail":
            raise ValueError(people[0]["email"])

    people = [{"email": triton.Personal(SECRET, subject="bob"), "id": 1}]
    plain.send(people, triton.Personal({"a": [1, 2]}, subject="eve"))
    plain.send(people, "fail")
    platform.run()

    assert sorted(seen, key=str) == sorted(
        [([{"email": SECRET, "id": 1}], {"a": [1, 2]}), ([{"email": SECRET, "id": 1}], "fail")],
        key=str,
    )
    assert SECRET.encode() not in platform.dump()
    assert repr(people[0]["email"]) == "[personal]"


def test_results_that_are_passed_on_stay_sealed(platform: Platform) -> None:
    """Pipelines and callbacks carry results, arguments and errors into jobs of actors that mark nothing."""
    seen: list[Any] = []

    @dramatiq.actor(
        personal=marked(fields=["email"], result=["email"]), max_retries=0, on_failure="failed"
    )
    def first(user: int, email: str, fail: bool = False) -> dict[str, Any]:
        if fail:
            raise ValueError(f"not {email}")
        return {"email": email, "count": 1}

    @dramatiq.actor
    def second(found: dict[str, Any]) -> None:
        seen.append(found)

    @dramatiq.actor
    def done(message: dict[str, Any], result: dict[str, Any]) -> None:
        seen.append((message["args"], result))

    @dramatiq.actor
    def failed(message: dict[str, Any], error: dict[str, Any]) -> None:
        seen.append((message["args"], error["message"]))

    pipeline([first.message(17, SECRET), second.message()]).run()
    first.send_with_options(args=(17, SECRET), on_success="done")
    first.send(17, SECRET, fail=True)
    platform.run()

    result = {"email": SECRET, "count": 1}
    assert sorted(map(str, seen)) == sorted(
        map(str, [result, ([17, SECRET], result), ([17, SECRET], f"not {SECRET}")])
    )
    assert SECRET.encode() not in platform.dump()


def test_messages_that_wait_in_options_are_sealed(platform: Platform) -> None:
    seen: list[str] = []
    platform.broker.add_middleware(GroupCallbacks(StubBackend()))

    @dramatiq.actor(personal=marked(fields=["email"]))
    def mail(user: int, email: str, *rest: Any) -> int:
        seen.append(email)
        return user

    @dramatiq.actor
    def plain() -> None:
        pass

    pipeline([plain.message(), mail.message_with_options(args=(1, SECRET), pipe_ignore=True)]).run()
    members = group([plain.message(), plain.message()])
    members.add_completion_callback(mail.message(2, SECRET))
    members.run()
    assert SECRET.encode() not in platform.dump()
    platform.run()

    assert seen == [SECRET, SECRET]
    assert SECRET.encode() not in platform.dump()


def test_an_erased_subject_ends_what_waits_and_takes_nothing_new(
    platform: Platform, keys_url: str
) -> None:
    ran: list[int] = []

    @dramatiq.actor(personal=marked(fields=["email"], result=True))
    def mail(user: int, email: str) -> str:
        ran.append(user)
        return email

    done = mail.send(1, SECRET)
    platform.run()
    waiting, other = mail.send(1, SECRET), mail.send(2, "eve@example.org")
    destroyed = platform.broker.sealing().keyring.destroy("default", "1")
    assert destroyed.now
    platform.run()

    assert ran == [1, 2]
    types = [event.type for event in platform.events(waiting.message_id)]
    assert types == ["job.submitted", "job.started", "job.failed"]
    last = platform.events(waiting.message_id)[-1].data
    assert isinstance(last, Failed)
    assert (last.reason, last.error.type) == ("erased", "ErasedError")
    assert other.get_result() == "eve@example.org"
    with pytest.raises(ErasedError):
        done.get_result()
    with pytest.raises(ErasedError, match="no new data of it is taken"):
        mail.send(1, SECRET)


def test_the_same_personal_arguments_are_the_same_unique_job(platform: Platform) -> None:
    @dramatiq.actor(personal=marked(fields=["email"]), unique=True)
    def mail(user: int, email: str) -> None:
        pass

    one = mail.send(1, SECRET)
    assert mail.send(1, SECRET).message_id == one.message_id
    assert mail.send(1, "other").message_id != one.message_id
    # Nor can the value be guessed from what the log holds of the key.
    submitted = platform.events(one.message_id)[0].data
    assert isinstance(submitted, Submitted)
    assert submitted.unique != unique_digest(Unique(), "default", "mail", (1, SECRET), {})
    keyed = [
        mail.send_with_options(args=(1, SECRET), idempotency_key="k", unique=False) for _ in "ab"
    ]
    assert keyed[0].message_id == keyed[1].message_id
    platform.run()


def test_the_worker_s_own_log_shows_no_values(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    @dramatiq.actor(max_retries=0, personal=marked(fields=["email"]), throws=(ValueError,))
    def mail(user: int, email: str) -> None:
        raise ValueError("no")

    mail.send(1, SECRET)
    with caplog.at_level(logging.INFO):
        platform.run()

    assert "mail(1, [personal])" in caplog.text
    assert SECRET not in caplog.text


def test_the_worker_s_own_log_quotes_no_error_of_a_job_with_personal_data(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the others it does as ever."""

    @dramatiq.actor(max_retries=1, personal=marked(fields=["email"]))
    def mail(user: int, email: str) -> None:
        raise LookupError(f"nobody has {email}")

    @dramatiq.actor(max_retries=0)
    def plain() -> None:
        raise ValueError("seen by everybody")

    mail.send(1, SECRET)
    plain.send()
    platform.run()

    assert caplog.text.count("with unhandled exception. LookupError: [personal]") == 2
    assert "ValueError: seen by everybody" in caplog.text
    assert SECRET not in caplog.text


def test_wrong_marks_a_missing_subject_and_a_missing_store_are_said(
    broker: TritonBroker, make_broker: Callable[..., TritonBroker]
) -> None:
    with pytest.raises(ConfigurationError, match="`personal` of the actor wrong is"):
        dramatiq.actor(lambda: None, actor_name="wrong", personal={"field": ["a"]})

    @dramatiq.actor(personal=marked(fields=["email"]))
    def mail(email: str, user: int | None = None) -> None:
        pass

    with pytest.raises(ValidationError, match="user names the data subject of mail and is not"):
        mail.send(SECRET)
    make_broker(subject_keys="")

    @dramatiq.actor(personal=marked(fields=["email"]))
    def mail2(email: str, user: int) -> None:
        pass

    with pytest.raises(ConfigurationError, match="TRITON_SUBJECT_KEYS is not set"):
        mail2.send(SECRET, 1)


def test_a_step_of_an_earlier_attempt_answers_plain(platform: Platform) -> None:
    seen: list[Any] = []

    @dramatiq.actor(max_retries=2, personal=marked(fields=["email"], steps=True))
    def mail(user: int, email: str) -> None:
        seen.append(triton.step("look", lambda: {"to": email}))
        if len(seen) < 2:
            raise ValueError("again")

    message = mail.send(1, SECRET)
    platform.run()

    assert seen == [{"to": SECRET}, {"to": SECRET}]
    assert isinstance(platform.events(message.message_id)[-1].data, Completed)
    assert SECRET.encode() not in platform.dump()


def test_ids_that_keys_choose_and_partitions_change_nothing(
    make_broker: Callable[..., TritonBroker], redis_client: redis.Redis
) -> None:
    """The id that a value is sealed for is known only when every key has had its say."""
    platform = Platform(make_broker(partitions=3), redis_client)
    seen: list[Any] = []

    @dramatiq.actor(personal=marked(fields=["email"], result=True), max_retries=0)
    def mail(user: int, email: str) -> str:
        seen.append((user, email))
        return email

    @dramatiq.actor
    def after(email: str) -> None:
        seen.append(email)

    mail.send_with_options(args=(1, "a" + SECRET), idempotency_key="one")
    mail.send_with_options(args=(2, "b" + SECRET), unique=True)
    mail.send_with_options(args=(3, "c" + SECRET), unique={"key": "x"}, idempotency_key="two")
    follow = [mail.message(4, "d" + SECRET), after.message_with_options(unique=True)]
    pipeline(follow).run()
    platform.run()

    assert sorted(map(str, seen)) == sorted(
        map(str, [*((n, x + SECRET) for n, x in enumerate("abcd", 1)), "d" + SECRET])
    )
    assert SECRET.encode() not in platform.dump()


def test_an_attempt_waits_for_a_key_store_that_is_away(platform: Platform, keys_url: str) -> None:
    seen: list[str] = []

    @dramatiq.actor(personal=marked(fields=["email"]), max_retries=10_000)
    def mail(user: int, email: str) -> None:
        seen.append(email)

    message = mail.send(1, SECRET)
    platform.broker.sealing().close()
    folder = Path(keys_url.removeprefix("file://"))
    away = folder.rename(folder.with_name("away"))
    folder.write_text("a file where the folder was")

    def come_back() -> None:
        """Once an attempt found that it is away."""
        with contextlib.suppress(AssertionError):
            eventually(lambda: len(platform.events(message.message_id)) >= 3)
        folder.unlink()
        away.rename(folder)

    back = threading.Thread(target=come_back)
    back.start()
    platform.run()
    back.join()

    assert seen == [SECRET]
    tried = [event.data for event in platform.events(message.message_id)]
    first = next(data for data in tried if isinstance(data, RetryScheduled))
    assert first.error.type == "UnavailableError"
    assert SECRET.encode() not in platform.dump()
