"""A new version of an actor on the inputs of past jobs: what differs is shown, and nothing leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from typer.testing import CliRunner, Result

from triton.cli.app import app as command_line
from triton.errors import ValidationError
from triton.retroactive.choosing import choice_of
from triton.stack.engines import Engines
from triton.testing import Jobs, jobs_in_process

HEAD = """
import os, socket, subprocess, sys, time
from pathlib import Path
import dramatiq
import triton

@dramatiq.actor
def ship(order):
    pass

"""
#: The version that ran: what `Old` records below.
SAME = """
@dramatiq.actor(max_retries=0)
def charge(order, amount=1):
    job = triton.current_job()
    job.progress(50, "half")
    job.output(f"charging {order}\\n")
    rate = job.step("rate", lambda: 3)
    if order == "bad":
        raise ValueError("no such card")
    ship.send(order)
    return {"paid": amount * rate}
"""


@pytest.fixture
def jobs(engines: Engines) -> Iterator[Jobs]:
    before = dramatiq.broker.global_broker
    namespace: dict[str, Any] = {}
    with jobs_in_process(engines.redis_url) as running:
        # The same text that the test bed imports.
        exec(HEAD + SAME, namespace)
        running.charge = namespace["charge"]  # type: ignore[attr-defined]
        yield running
    dramatiq.broker.global_broker = before


@pytest.fixture
def recorded(jobs: Jobs) -> list[str]:
    charge: Any = jobs.charge  # type: ignore[attr-defined]
    messages = [charge.message("o-1", amount=2), charge.message("o-2"), charge.message("bad")]
    # One after the other: their ends have an order.
    return [jobs.run(message)[0].job for message in messages]


class Bed:
    def __init__(self, jobs: Jobs, folder: Path) -> None:
        self.jobs = jobs
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.py").write_text(HEAD + text)

    def run(self, handler: str, *options: str, status: int = 0) -> Result:
        env = {
            "TRITON_REDIS_URL": self.jobs.broker.url,
            "TRITON_NAMESPACE": self.jobs.broker.namespace,
        }
        arguments = ["replay", "--handler", handler, "--dry-run", *options]
        result = CliRunner().invoke(command_line, arguments, env=env, prog_name="triton")
        assert result.exit_code == status, result.output
        return result

    def stored(self) -> dict[bytes, bytes]:
        client = self.jobs.broker.client
        found = client.scan_iter(f"{{{self.jobs.broker.namespace}:*", count=1000)
        # Not what the worker says of itself meanwhile.
        own = (b":log", b":job:", b":ready:", b":due:")
        return {key: client.dump(key) or b"" for key in found if any(part in key for part in own)}

    def report(self, handler: str, *options: str, status: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.run(handler, *options, "--json", status=status).stdout
        )
        return found["handlers"][0]  # type: ignore[no-any-return]


@pytest.fixture
def bed(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TRITON_")]:
        monkeypatch.delenv(name)
    return Bed(jobs, tmp_path)


def changes(report: dict[str, Any], job: str) -> dict[str, tuple[Any, Any]]:
    (found,) = [one for one in report["jobs"] if one["job"] == job]
    return {change["field"]: (change["was"], change["is"]) for change in found["changes"]}


def test_the_same_version_comes_out_the_same(bed: Bed, recorded: list[str]) -> None:
    bed.write("shop_same", SAME)
    report = bed.report("shop_same:charge")

    assert report["tried"] == 3
    assert report["differing"] == 0
    assert report["outcomes"] == {
        "completed -> completed": 2,
        "failed ValueError -> failed ValueError": 1,
    }


def test_each_kind_of_difference_is_named_and_nothing_is_sent(
    bed: Bed, recorded: list[str]
) -> None:
    bed.write(
        "shop_new",
        SAME.replace('"paid": amount', '"paid": 1 + amount')
        .replace("ValueError", "KeyError")
        .replace("ship.send(order)", "ship.send(order + '!')")
        .replace("charging", "charged")
        .replace('"half"', '"most"')
        .replace('"rate"', '"ratio"'),
    )
    before = bed.stored()
    report = bed.report("shop_new:charge", status=1)

    first = changes(report, recorded[0])
    assert first["result"] == ({"paid": 6}, {"paid": 7})
    assert [sent["args"] for sent in first["messages"][0]] == [["o-1"]]
    assert [sent["args"] for sent in first["messages"][1]] == [["o-1!"]]
    assert first["steps"] == ({"rate": 3}, {"ratio": 3})
    assert first["output"] == ("charging o-1\n", "charged o-1\n")
    assert first["progress"] == ([50.0, "half"], [50.0, "most"])
    assert changes(report, recorded[2])["outcome"] == ("failed ValueError", "failed KeyError")
    assert report["differing"] == 3
    assert bed.stored() == before
    ignored = [f"--ignore={name}" for name in ("result", "messages", "steps", "output", "progress")]
    assert bed.report("shop_new:charge", *ignored, status=1)["differing"] == 1
    text = bed.run("shop_new:charge", status=1).stdout
    assert "failed KeyError" in text
    assert "3 came out otherwise" in text


def test_recorded_steps_answer_again_unless_they_are_to_run(bed: Bed, recorded: list[str]) -> None:
    bed.write("shop_steps", SAME.replace("lambda: 3", "lambda: 4"))

    assert bed.report("shop_steps:charge")["differing"] == 0
    again = bed.report("shop_steps:charge", "--run-steps", status=1)
    assert changes(again, recorded[0])["steps"] == ({"rate": 3}, {"rate": 4})
    assert changes(again, recorded[0])["result"] == ({"paid": 6}, {"paid": 8})


def test_the_filter_chooses(bed: Bed, recorded: list[str]) -> None:
    bed.write("shop_same", SAME)

    def tried(jobs: str, *more: str) -> list[str]:
        return [one["job"] for one in bed.report("shop_same:charge", "--jobs", jobs, *more)["jobs"]]

    assert tried(f"since=1h,status=failed,job={recorded[1]}|{recorded[2]}") == [recorded[2]]
    assert tried("status=completed,queue=default|other", "--limit", "1") == [recorded[1]]
    wrong = bed.run("shop_same:charge", "--jobs", "state=failed", status=2)
    assert "--jobs has 'state', expected" in wrong.stderr


def test_what_crashes_hangs_or_cannot_be_imported_gets_a_sentence_and_the_others_go_on(
    bed: Bed, recorded: list[str]
) -> None:
    bed.write(
        "shop_bad",
        SAME.replace("job = ", "if order == 'o-1': os._exit(7)\n    job = ").replace(
            "rate = ", "if order == 'o-2': time.sleep(600)\n    rate = "
        ),
    )
    (bed.folder / "shop_broken.py").write_text("import no_such_module")
    found = json.loads(
        bed.run(
            *("shop_bad:charge", "--handler", "shop_broken:charge"),
            *("--time-limit", "5s", "--json"),
            status=1,
        ).stdout
    )
    bad, broken = found["handlers"]

    crashed, hung, failed = bad["jobs"]
    assert (crashed["is"], crashed["said"]) == (
        "crashed",
        "the handler ended its process with exit status 7",
    )
    assert (hung["is"], hung["said"]) == (
        "hung",
        "the handler did not come to an end within 5 s, and was ended",
    )
    assert failed["changes"] == []
    assert broken["problem"] == (
        "shop_broken:charge cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"
    )
    unknown = bed.report("shop_bad:refund", status=1)
    assert "has no actor 'refund', it has charge, ship" in unknown["problem"]


def test_an_actor_reaches_nothing_outside(
    bed: Bed, recorded: list[str], engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way out is refused, and an application that sets a broker of its own does not send through it."""
    monkeypatch.setenv("SHOP_SECRET", "hidden")
    out = bed.folder / "out.txt"
    bed.write(
        "shop_leaks",
        f"""
from triton import TritonBroker
dramatiq.set_broker(TritonBroker(url={engines.redis_url!r}, namespace="leak"))

@dramatiq.actor
def other():
    pass

def refused(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"

@dramatiq.actor(max_retries=0)
def charge(order, amount=1):
    other.send()
    Path(os.environ["TMPDIR"], "inside").write_text("x")
    return [
        refused(lambda: Path({str(out)!r}).write_text("x")),
        refused(lambda: socket.create_connection(("127.0.0.1", 1))),
        refused(lambda: subprocess.run(["true"])),
        refused(lambda: Path({str(bed.folder / "shop_leaks.py")!r}).unlink()),
        refused(lambda: os.kill({os.getpid()}, 0)),
        os.environ.get("SHOP_SECRET"),
    ]
""",
    )
    report = bed.report("shop_leaks:charge", "--jobs", recorded[0], status=1)
    seen = changes(report, recorded[0])

    assert seen["result"][1] == ["LeavesError"] * 5 + [None]
    assert [sent["actor"] for sent in seen["messages"][1]] == ["other"]
    assert not out.exists()
    assert not list(bed.jobs.broker.client.scan_iter("{leak*"))
    shown = bed.report("shop_leaks:charge", "--jobs", recorded[0], "--env", "SHOP_SECRET", status=1)
    assert changes(shown, recorded[0])["result"][1][-1] == "hidden"


def test_pipelines_and_asynchronous_actors_are_caught_too(bed: Bed, engines: Engines) -> None:
    text = """
@dramatiq.actor(max_retries=0)
async def first(number):
    triton.current_job().output("one")
    return number + 1

@dramatiq.actor(max_retries=0)
def second(number):
    return number * 2
"""
    namespace: dict[str, Any] = {}
    exec(HEAD.partition("@")[0] + text, namespace)
    pipe = dramatiq.pipeline([namespace["first"].message(1), namespace["second"].message()]).run()
    bed.jobs.run_all()
    bed.write("pipes", text)
    bed.write("pipes_new", text.replace("number + 1", "number + 2"))

    assert bed.report("pipes:first")["differing"] == 0
    found = changes(bed.report("pipes_new:first", status=1), pipe.messages[0].message_id)
    assert found["messages"][1][0]["args"] == [3]


def test_personal_data_is_opened_for_who_has_the_keys_and_left_out_when_erased(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
@dramatiq.actor(
    max_retries=0,
    personal={"subject": "user", "fields": ["email"], "result": True, "output": True, "steps": True},
)
def mail(user, email):
    triton.current_job().output(f"to {email}")
    ship.send(triton.Personal(email, subject=user))
    return triton.step("look", lambda: email.upper())
"""
    monkeypatch.setenv("TRITON_SUBJECT_KEYS", bed.jobs.broker._personal._settings.subject_keys)
    namespace: dict[str, Any] = {"ship": bed.jobs.broker.actors["ship"]}
    exec(HEAD.partition("@")[0] + text, namespace)
    jobs = [
        bed.jobs.run(namespace["mail"].message(*each))[0].job
        for each in (("bob", "bob@x"), ("eve", "eve@x"))
    ]
    bed.jobs.run_all()
    bed.write("mails", text)
    bed.write("mails_new", text.replace("email.upper()", "email.title()"))

    assert bed.report("mails:mail")["differing"] == 0
    changed = bed.report("mails_new:mail", "--run-steps", status=1)
    assert changes(changed, jobs[0])["result"] == ("BOB@X", "Bob@X")
    bed.jobs.broker.sealing().keyring.destroy("default", "bob")
    left = bed.report("mails:mail")
    assert [job["job"] for job in left["jobs"]] == jobs[1:]
    assert left["skipped"] == {"personal data that was erased": 1}


def test_words_of_the_filter() -> None:
    choice = choice_of("queue=a|b,job-1,job-2,tenant=t,since=5,until=9", lambda _, text: int(text))
    call: dict[str, Any] = {"job": "job-1", "queue": "b", "tenant": "t", "actor": "x", "at": 5}

    assert choice.takes(**call)
    for other in ({"job": "job-3"}, {"queue": "c"}, {"tenant": "u"}, {"at": 4}, {"at": 9}):
        assert not choice.takes(**{**call, **other}), other
    assert choice_of("", lambda *_: 0).takes(**call)
    with pytest.raises(ValidationError, match="status is cancelled, expected completed or failed"):
        choice_of("status=cancelled", lambda *_: 0)
