"""Webhooks that come in: signed, in time, once, of one tenant's source, and then a job of its actor."""

from __future__ import annotations

import base64
import time
import uuid
from typing import Any, NamedTuple

import pytest
from live_api import LiveApi

from triton.webhooks import signing

BODY = b'{"order": 7, "lines": [1, 2]}'


def decoded(secret: str) -> bytes:
    """What a sender makes of the text that it was given."""
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


class Source(NamedTuple):
    tenant: str
    id: str
    secret: bytes

    @property
    def url(self) -> str:
        return f"/api/v1/webhooks/{self.tenant}/{self.id}"


def make(api: LiveApi, **more: Any) -> Source:
    tenant = "w-" + uuid.uuid4().hex[:8]
    body = {"name": "shop", "actor": "orders.import", "queue": "orders", **more}
    made = api.http.post(f"/api/v1/webhook-sources?tenant={tenant}", json=body)
    assert made.status_code == 201, made.text
    return Source(tenant, made.json()["id"], renew(api, tenant, made.json()["id"]))


def renew(api: LiveApi, tenant: str, source: str) -> bytes:
    answer = api.http.post(f"/api/v1/webhook-sources/{source}/secret?tenant={tenant}")
    assert answer.status_code == 201, answer.text
    return decoded(answer.json()["secret"])


def send(
    api: LiveApi,
    source: Source,
    *,
    message: str = "",
    at: float = 0,
    body: bytes = BODY,
    secret: bytes = b"",
    **changed: str,
) -> Any:
    message = message or uuid.uuid4().hex
    stamp = int(time.time() + at)
    headers = signing.headers(secret or source.secret, message, stamp, body)
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    return api.http.post(source.url, content=body, headers=headers)


def test_a_signed_webhook_becomes_a_job_of_the_sources_actor(api: LiveApi) -> None:
    source = make(api, argument="order")
    answer = send(api, source)
    assert answer.status_code == 202, answer.text
    job = api.http.get(f"/api/v1/jobs/{answer.json()['job']}").json()
    assert (job["actor"], job["queue"], job["tenant"]) == ("orders.import", "orders", source.tenant)
    assert job["kwargs"] == {"order": {"order": 7, "lines": [1, 2]}}
    assert job["by"] == f"webhook:{source.id}"


def test_the_same_message_is_taken_once(api: LiveApi) -> None:
    source = make(api)
    assert send(api, source, message="m-1").status_code == 202
    again = send(api, source, message="m-1")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    # Signed anew, at another time and with another body: the message is the same.
    assert send(api, source, message="m-1", at=-5, body=b"{}").status_code == 409
    # Another source's messages are its own.
    assert send(api, make(api), message="m-1").status_code == 202


def test_a_refused_job_may_be_sent_again(api: LiveApi) -> None:
    source = make(api)
    quotas = f"/api/v1/quotas?tenant={source.tenant}"
    api.http.put(quotas, json={"max_pending": 0})
    assert send(api, source, message="m").status_code == 429
    api.http.put(quotas, json={})
    assert send(api, source, message="m").status_code == 202


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": b"x" * 32},
        {"at": -400},
        {"at": 400},
        {"webhook_id": "another"},
        {"webhook_id": ""},
        {"webhook_id": "a b"},
        {"webhook_timestamp": "9" * 30},
        {"webhook_timestamp": "now"},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "v1a,AAAA v2,BBBB"},
    ],
    ids=str,
)
def test_what_is_not_signed_in_time_is_refused(api: LiveApi, wrong: dict[str, Any]) -> None:
    source = make(api)
    answer = send(api, source, **wrong)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    unknown = send(api, source._replace(id=str(uuid.uuid4())))
    assert (unknown.status_code, unknown.json()["message"]) == (401, answer.json()["message"])


def test_a_changed_body_is_refused(api: LiveApi) -> None:
    source = make(api)
    headers = signing.headers(source.secret, "m", int(time.time()), BODY)
    answer = api.http.post(source.url, content=BODY.replace(b"7", b"8"), headers=headers)
    assert answer.status_code == 401


def test_one_of_several_signatures_is_enough(api: LiveApi) -> None:
    source = make(api)
    stamp = int(time.time())
    right = signing.sign(source.secret, "m", stamp, BODY)
    assert send(api, source, message="m", webhook_signature=f"v1,AAAA {right}").status_code == 202


def test_a_source_is_of_one_tenant_and_can_be_switched_off(api: LiveApi) -> None:
    source, other = make(api), make(api)
    assert send(api, source._replace(tenant=other.tenant)).status_code == 401
    off = {"name": "shop", "actor": "orders.import", "enabled": False}
    one = f"/api/v1/webhook-sources/{source.id}?tenant={source.tenant}"
    assert api.http.put(one, json=off, headers={"If-Match": "*"}).status_code == 200
    assert send(api, source).status_code == 401


def test_a_tenant_that_is_let_in_no_more_sends_none(api: LiveApi) -> None:
    source = make(api)
    path = f"/api/v1/organizations/{source.tenant}"
    for disabled, status in ((True, 401), (False, 202)):
        assert api.http.patch(path, json={"disabled": disabled}).status_code == 200
        assert send(api, source).status_code == status


def test_a_new_secret_ends_the_old_one_and_goes_with_its_source(api: LiveApi) -> None:
    source = make(api)
    fresh = renew(api, source.tenant, source.id)
    assert send(api, source).status_code == 401
    assert send(api, source, secret=fresh).status_code == 202
    one = f"/api/v1/webhook-sources/{source.id}?tenant={source.tenant}"
    assert api.http.delete(one, headers={"If-Match": "*"}).status_code == 204
    assert send(api, source, secret=fresh).status_code == 401


def test_a_body_that_is_no_json_is_malformed(api: LiveApi) -> None:
    assert send(api, make(api), body=b"{").json()["code"] == "malformed"


def test_the_known_answer_of_standard_webhooks() -> None:
    """From the specification's own test vectors."""
    secret = decoded("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signing.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )
