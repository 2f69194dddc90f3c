"""Auditors ask over HTTP: each question is an event of the log, and it can be switched off."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import msgspec
import pytest
from live_api import Hand, LiveApi

from triton import keys
from triton.events.codec import decode_entry
from triton.events.types import AuditRead
from triton.settings import Settings

AUDIT = "/api/v1/audit"


def ask(api: LiveApi, path: str, wanted: int = 200, **parameters: Any) -> Any:
    answer = api.http.get(f"{AUDIT}/{path}", params=parameters)
    assert answer.status_code == wanted, answer.text
    return answer.json()


def reads(api: LiveApi, hand: Hand) -> list[AuditRead]:
    settings = api.services.settings
    raw: Any = hand.client.execute_command(
        "XRANGE", keys.log(keys.prefix(settings.namespace, 0)), "-", "+"
    )
    events = [decode_entry(0, each, fields) for each, fields in raw]
    return [event.data for event in events if isinstance(event.data, AuditRead)]


def test_a_job_is_explained_and_shown_as_it_was(api: LiveApi, hand: Hand) -> None:
    job = hand.submit([1, 2])
    hand.run(job, {"pages": 3})
    found = ask(api, f"jobs/{job}/why", reason="case 7")
    assert found["story"][0]["type"] == "job.submitted"
    assert found["story"][-1]["type"] == "job.completed"
    started = found["story"][1]
    then = ask(api, "at", instant=str(started["position"]), job=job)
    assert (then["job"]["state"], then["job"]["result"]) == ("processing", None)
    assert ask(api, "at", instant=started["at"], job=job)["job"] == then["job"]
    running = ask(api, "at", instant=started["at"], status="processing")
    assert job in {one["job"] for one in running["jobs"]}
    change = ask(api, "diff", **{"from": started["at"], "to": "now"})
    assert (job, "processing", "completed") in {
        (one["job"], one["before"], one["after"]) for one in change["changed"]
    }
    noted = reads(api, hand)
    assert AuditRead(what="why", filter={"job": job}, reason="case 7") in noted
    assert AuditRead(what="at", filter={"instant": str(started["position"]), "job": job}) in noted


def test_events_are_taken_away(api: LiveApi, hand: Hand) -> None:
    job = hand.run(hand.submit(1))
    answer = api.http.get(f"{AUDIT}/export", params={"job": job, "format": "csv"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as taken:
        manifest = json.loads(taken.read("manifest.json"))
        lines = taken.read("events.csv").decode().splitlines()
    told = api.http.get(f"/api/v1/jobs/{job}/events").json()["events"]
    assert (manifest["events"], manifest["asked"]["job"]) == (len(told), job)
    assert len(lines) == len(told) + 1
    assert reads(api, hand)[-1].what == "export"


@pytest.mark.parametrize(
    ("path", "parameters", "status", "said"),
    [
        ("jobs/nobody/why", {}, 404, "the log knows no job 'nobody'"),
        ("at", {"instant": "now", "job": "nobody"}, 404, "knew no job"),
        ("at", {"instant": "soon"}, 422, "is no instant"),
        ("at", {"instant": "2026-01-31T12:00:00"}, 422, "has no zone"),
        ("at", {"instant": "now", "job": "a", "queue": "b"}, 422, "no other filter"),
        ("at", {"instant": "99999999"}, 404, "has no position 99999999"),
        ("at", {"instant": "now", "shoe": "x"}, 422, "shoe"),
        ("diff", {"from": "now", "to": "0"}, 422, "give the earlier instant first"),
        ("export", {"format": "xls"}, 422, "format"),
    ],
)
def test_wrong_questions(
    api: LiveApi, hand: Hand, path: str, parameters: dict[str, str], status: int, said: str
) -> None:
    hand.submit(1)
    before = len(reads(api, hand))
    answer = ask(api, path, status, **parameters)
    assert said in answer["message"]
    assert len(reads(api, hand)) == before, "what was not answered was not read"


def test_it_can_be_switched_off(module_settings: Settings) -> None:
    with LiveApi(msgspec.structs.replace(module_settings, audit_api=False)) as closed:
        for path in ("at?instant=now", "diff?from=0", "export", "jobs/x/why"):
            answer = closed.http.get(f"{AUDIT}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
