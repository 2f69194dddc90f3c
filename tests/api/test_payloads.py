"""Tries large arguments and results over HTTP: by reference in the log, fetched where they are asked for."""

from __future__ import annotations

import msgspec
from dramatiq import Message
from live_api import Hand, LiveApi

from stored_message import message_of
from triton.references import MARK, reference_in, resolved

JOBS = "/api/v1/jobs"
TEXT = "x" * 100_000


def test_large_arguments_are_in_the_archive(api: LiveApi, hand: Hand) -> None:
    """Alone and in bulk; the job shows the reference."""
    wanted = {"actor": "work", "args": [TEXT], "kwargs": {"y": 1}}
    one = api.http.post(JOBS, json=wanted).json()["id"]
    many = api.http.post(f"{JOBS}/bulk", json={"jobs": [wanted]}).json()["jobs"][0]["id"]
    for job in (one, many):
        body = message_of(hand.client, hand.prefix(job), job)
        assert len(body) < 1_000
        message: Message[object] = Message.decode(body)
        reference = reference_in(message.kwargs)
        assert reference is not None
        whole = resolved(message, api.services.payloads.fetch(reference))
        assert (whole.args, whole.kwargs) == ((TEXT,), {"y": 1})
        view = api.http.get(f"{JOBS}/{job}").json()
        assert (view["args"], view["kwargs"]) == ([], reference.marked())


def test_a_reference_of_a_client_s_own_is_refused(api: LiveApi) -> None:
    stolen = {MARK: {"key": "objects/sha256/aa/bb/aabb", "sha256": "aabb", "size": 1}}
    answer = api.http.post(JOBS, json={"actor": "work", "kwargs": stolen})
    assert answer.status_code == 422
    assert answer.json()["details"]["fields"][0]["field"] == f"kwargs.{MARK}"


def test_a_result_is_answered_wherever_it_is(api: LiveApi, hand: Hand) -> None:
    small, large = hand.submit(), hand.submit()
    early = api.http.get(f"{JOBS}/{small}/result")
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    hand.run(small, {"a": [1, None]})
    reference = api.services.payloads.keep(msgspec.msgpack.encode({"text": TEXT}))
    assert reference is not None
    hand.run(large, reference.marked())
    assert api.http.get(f"{JOBS}/{small}/result").json() == {"a": [1, None]}
    assert api.http.get(f"{JOBS}/{large}").json()["result"] == reference.marked()
    assert api.http.get(f"{JOBS}/{large}/result").json() == {"text": TEXT}
    assert api.http.get(f"{JOBS}/nobody/result").status_code == 404
