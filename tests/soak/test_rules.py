"""Doctors an honest run, once for each thing that may go wrong, and sees the checker object."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from soak.evidence import Evidence, Key
from soak.records import Note
from soak.rules import RULES, check
from soak.run import flat
from soak_story import Story, changed, honest

from triton.events.types import Completed, Due, Progressed, Started, StepCompleted, Submitted

Doctor = Callable[[Story], None]


def index(story: Story, job: str, kind: str) -> int:
    """Where the last event of a type is."""
    return max(i for i, e in enumerate(story.events) if e.job == job and e.type == f"job.{kind}")


def hole(story: Story) -> None:
    """A position is missing."""
    for i in range(index(story, "later", "due"), len(story.events)):
        changed(story, i, position=story.events[i].position + 1)


def repeated_version(story: Story) -> None:
    """Two events claim to be the job's third."""
    at = index(story, "taken", "completed")
    changed(story, at, version=3)


def progress_of_nothing(story: Story) -> None:
    """An ended job says how far it is."""
    story.submit("odd")
    story.tell("odd", Progressed(percent=1.0))
    story.run("odd")


def attempt_reused(story: Story) -> None:
    """The second lease has the fence of the first."""
    for kind in ("started", "completed"):
        changed(story, index(story, "taken", kind), attempt=1)


def ended_twice(story: Story) -> None:
    """Two workers' outcomes were both taken."""
    story.tell("plain", Completed(result="done"))


def stuck(story: Story) -> None:
    """A job waits, and nobody comes."""
    story.submit("stuck")


def accepted_and_lost(story: Story) -> None:
    """An id was answered, and there is no such job."""
    story.ask("gone")


def refused_and_run(story: Story) -> None:
    """No was said, and done was yes."""
    story.submit("yes", answer="refused")
    story.run("yes")


def from_nowhere(story: Story) -> None:
    """A job that nobody asked for."""
    story.tell("ghost", Submitted(actor="quick", body=b"{}"))
    story.run("ghost")


def failed_without_reason(story: Story) -> None:
    """A job that always succeeds failed."""
    failed = story.events[index(story, "bad", "failed")].data
    story.submit("unlucky")
    story.run("unlucky", failed)


def pipeline_broken(story: Story) -> None:
    """A stage succeeded, and the next never came."""
    story.submit("alone", "chain", then="never")
    story.run("alone")


def called_twice(story: Story) -> None:
    """One success, two callbacks."""
    data = Submitted(actor="succeeded", body=b"{}")
    story.tell("again", data, causation="job:caller")
    story.run("again")


def started_early(story: Story) -> None:
    """Due in five seconds, run at once."""
    story.submit("eager", "delayed", due=story.now + 5_000_000)
    story.tell("eager", Due())
    story.run("eager")


def stolen(story: Story) -> None:
    """A lease was taken from a living worker."""
    for kind in ("lease_lost",):
        at = index(story, "taken", kind)
        changed(story, at, at=story.events[at].at - 500_000)


def two_runs(story: Story) -> None:
    """One lease, and its job ran twice."""
    story.notes.append(story.notes[0])


def run_without_lease(story: Story) -> None:
    """It ran under an attempt that nobody was given."""
    story.notes.append(Note(word="begin", job="plain", attempt=9, pid=1, at=1))


def completed_without_run(story: Story) -> None:
    """An outcome came from nobody."""
    story.notes = [n for n in story.notes if n.job != "plain" or n.word == "begin"]


def completed_by_a_late_run(story: Story) -> None:
    """The run ended long after its outcome was written."""
    story.notes = [
        msgspec.structs.replace(n, at=n.at + 5_000_000) if n.job == "plain" else n
        for n in story.notes
    ]


def back_in_time(story: Story) -> None:
    """An event is older than the one before it."""
    changed(story, 1, at=story.events[0].at - 1)


def step_again(story: Story) -> None:
    """A later attempt ran what an earlier one had recorded."""
    story.submit("stepping", "stepping")
    story.start("stepping")
    for _ in range(2):
        story.notes.append(msgspec.structs.replace(story.notes[-1], word="step"))
    story.tell("stepping", StepCompleted(name="one"))
    story.notes.append(msgspec.structs.replace(story.notes[-1], word="end"))
    story.tell("stepping", Completed(result="done"))


def not_alone(story: Story) -> None:
    """Two jobs of one unique key wait at the same time."""
    for job in ("one", "other"):
        story.ask(job, "unique_return")
        story.tell(job, Submitted(actor="quick", body=b"{}", unique="key"))
    story.run("one")
    story.run("other")


def two_leases(story: Story) -> None:
    """A job was given to a second worker while the first had it."""
    story.submit("torn", "long")
    story.tell("torn", Started(worker="host-7-abc"))
    story.run("torn")


CASES: list[tuple[str, Doctor]] = [
    ("positions are dense", hole),
    ("only allowed transitions", repeated_version),
    ("only allowed transitions", progress_of_nothing),
    ("attempts count the starts", attempt_reused),
    ("one end per life", ended_twice),
    ("times never go back", back_in_time),
    ("recorded steps do not run again", step_again),
    ("unique jobs live alone", not_alone),
    ("every job ended", stuck),
    ("every accepted submit has its job", accepted_and_lost),
    ("what was refused has none", refused_and_run),
    ("nobody's jobs", from_nowhere),
    ("jobs end as their kind may", failed_without_reason),
    ("follow-ups come once", pipeline_broken),
    ("follow-ups come once", called_twice),
    ("due times are respected", started_early),
    ("no lease is taken early", stolen),
    ("one run per lease", two_runs),
    ("one run per lease", run_without_lease),
    ("no outcome without its run", completed_without_run),
    ("no outcome without its run", completed_by_a_late_run),
    ("leases do not overlap", two_leases),
]


def test_an_honest_run_meets_no_objection() -> None:
    assert check(honest().evidence()) == []


@pytest.mark.parametrize(("rule", "doctor"), CASES, ids=[doctor.__name__ for _, doctor in CASES])
def test_the_checker_objects(rule: str, doctor: Doctor) -> None:
    story = honest()
    doctor(story)
    objections = check(story.evidence())
    assert rule in {objection.rule for objection in objections}, doctor.__doc__


P = "{triton:0}:"
HEAD = {b"state": b"pending"}
KEYS: list[tuple[str, str, Key]] = [
    ("no key without an owner", "lock", Key(type="string", ttl=-1)),
    ("no key without an owner", "job:nobody", Key(type="hash", ttl=-1, content=HEAD)),
    ("no key without an owner", "body:plain", Key(type="string", ttl=100)),
    ("no key without an owner", "body:bad", Key(type="string", ttl=-1)),
    ("no key without an owner", "steps:plain", Key(type="hash", ttl=-1, content={})),
    ("no key without an owner", "leases:work", Key(type="zset", ttl=-1, content=[(b"plain", 1)])),
    ("no key without an owner", "ready:gone", Key(type="zset", ttl=-1, content=[(b"gone", 1)])),
    ("no key without an owner", "unique:u", Key(type="string", ttl=-1, content=b"plain")),
    ("no key without an owner", "expires", Key(type="zset", ttl=-1, content=[(b"plain", 1)])),
    ("no key without an owner", "workers", Key(type="zset", ttl=-1, content=[(b"w", 1)])),
    ("no key without an owner", "bell:work", Key(type="list", ttl=-1, content=2)),
    ("no key without an owner", "unique:d", Key(type="string", ttl=-1, content="plain")),
    ("no key without an owner", "expires", Key(type="zset", ttl=-1, content=[(b"plain", 1)])),
    ("no key without an owner", "held", Key(type="string", ttl=-1)),
    ("no key without an owner", "claim:w", Key(type="string", ttl=-1)),
    ("no key without an owner", "log", Key(type="hash", ttl=-1, content={})),
    ("heads equal the fold", "job:plain", Key(type="hash", ttl=9, content=HEAD)),
    ("heads equal the fold", "leases:work", Key(type="zset", ttl=-1, content=[(b"plain", 1)])),
]


@pytest.mark.parametrize(("rule", "name", "key"), KEYS, ids=[f"{r}-{n}" for r, n, _ in KEYS])
def test_the_checker_finds_what_was_left(rule: str, name: str, key: Key) -> None:
    honestly = honest().evidence()
    assert honestly.keys is not None
    keys = {**honestly.keys, P + name: key}
    evidence = Evidence(
        events=honestly.events,
        asked=honestly.asked,
        wishes=honestly.wishes,
        notes=honestly.notes,
        keys=keys,
        lease_ms=honestly.lease_ms,
    )
    assert rule in {objection.rule for objection in check(evidence)}


def test_a_message_that_is_gone_is_found() -> None:
    evidence = honest().evidence()
    assert evidence.keys is not None
    del evidence.keys[P + "body:bad"]
    assert {o.text for o in check(evidence)} == {
        "the head of bad says own_body 1, and there is none"
    }


def test_a_key_of_another_namespace_is_found_and_a_missing_head_too() -> None:
    story = honest()
    evidence = story.evidence()
    assert evidence.keys is not None
    evidence.keys["other"] = Key(type="string", ttl=-1)
    del evidence.keys[P + "job:plain"]
    assert {o.text for o in check(evidence)} == {
        "other (string) is outside of the namespace",
        "plain is completed, and has no head",
    }


def test_an_ended_job_s_head_may_be_gone_once_its_result_was_there_for_long_enough() -> None:
    story = honest()
    evidence = story.evidence()
    assert evidence.keys is not None
    del evidence.keys["{triton:0}:job:plain"]
    ended = story.events[index(story, "plain", "completed")].at
    evidence.result_ms = 5000
    evidence.read_at = ended + 4_999_000
    assert [objection.text for objection in check(evidence)] == [
        "plain is completed, and has no head"
    ]
    evidence.read_at = ended + 5_000_000
    assert check(evidence) == []


def test_what_grows_with_the_log_is_not_flat() -> None:
    def held(last: int) -> list[tuple[float, int, int]]:
        return [(float(n), 40 * n, last if n > 225 else 1000) for n in range(300)]

    assert flat(held(1250)) == []
    assert [found.rule for found in flat(held(1300))] == ["the server's memory is flat"]


def test_every_rule_is_tried() -> None:
    tried = {rule for rule, _ in CASES} | {rule for rule, _, _ in KEYS}
    assert tried == set(RULES)


def test_the_lease_of_a_worker_that_was_killed_may_end_early() -> None:
    story = honest()
    stolen(story)
    evidence = story.evidence()
    assert {o.rule for o in check(evidence)} == {"no lease is taken early"}
    evidence.dead = {7: story.events[index(story, "taken", "lease_lost")].at - 1}
    assert check(evidence) == []
