"""Owns the proof that the scripts are the twin of the pure machine.

Random commands go to a model around `decide` and `evolve` and to a real server; after each one the answers,
the heads, the log and every key of the partition are compared. A worker that crashes simply stops: its
leases run out. TRITON_TEST_EXAMPLES=2000 in the environment makes a long run.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from partition_check import Checker
from partition_model import (
    COMPLETED_TTL_MS,
    FAILED_TTL_MS,
    LEASE_MS,
    MAX_DEATHS,
    Model,
    Outcome,
    Sent,
)

from triton import keys
from triton.events.client import send
from triton.events.codec import encode_data
from triton.events.replies import answers, claimed
from triton.events.scripts import Call, Scripts, pack_outcome, pack_report
from triton.events.types import (
    AuditRead,
    Cancelled,
    Completed,
    Error,
    Failed,
    Output,
    Progressed,
    RetentionSet,
    RetryScheduled,
    Snoozed,
    StepCompleted,
)
from triton.job import TERMINAL, Head

EXAMPLES = int(os.environ.get("TRITON_TEST_EXAMPLES", "150"))
START = 1_767_225_600_000_000
SECOND = 1_000_000
CLOCK = "  return tonumber(redis.call('GET', P .. 'test_clock'))"
SCRIPTS = Scripts(completed_ttl_ms=COMPLETED_TTL_MS, failed_ttl_ms=FAILED_TTL_MS, clock=CLOCK)

JOBS = ("a", "0", "job:b", "ünï ☃ 😀", "1e3", "x" * 200)
DIGESTS = ("u1", "u2")
TERMS = ("ttl", "unique", "window_ms", "conflict", "payload", "keep_ms")
QUEUES = ("default", "süß:" + "q" * 196)
WORKERS = ("w1", "w:2 ☃")


def _consistent(terms: dict[str, Any]) -> dict[str, Any]:
    """Terms as a client sends them: what belongs to a key comes with it."""
    if "due" in terms:
        terms["delay"] = 0
    for key, its in (("unique", ("window_ms", "conflict")), ("payload", ("keep_ms",))):
        if key not in terms:
            for name in its:
                terms.pop(name, None)
    return terms


texts = st.text(max_size=8)
conflicts = st.sampled_from(("return", "replace", "replace", "reject"))
#: Of real time, unlike all else: long, and ended by a rule.
windows = st.sampled_from((0, 3_600_000))
bodies = st.binary(max_size=12)
job_ids = st.sampled_from(JOBS)
queues = st.sampled_from(QUEUES)
causes = st.sampled_from(("", "request:ä"))
users = st.sampled_from(("user:ann", "key:ü", "system"))
delays = st.sampled_from((0, 1, 999, SECOND, 60 * SECOND))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
notes = st.builds(
    AuditRead, what=texts, filter=st.dictionaries(texts, texts, max_size=2), reason=texts
) | st.builds(RetentionSet, tenant=texts, days=st.integers(0, 4000))
errors = st.builds(Error, type=texts, message=texts, traceback=texts)
sent = st.builds(
    Sent,
    job=job_ids,
    queue=queues,
    body=bodies,
    priority=st.sampled_from((0, 0, 1, -1, 1000, -1000)),
    # Relative to the model's now: `at` makes it a time.
    due=st.sampled_from((0, 0, 0, START - SECOND, START, START + SECOND, START + 90 * SECOND)),
    delay=st.just(0),
    tenant=st.sampled_from(("t", "ténant")),
    by=users,
    causation=st.sampled_from(("", "job:0")),
    correlation=st.sampled_from(("", "ü")),
    traceparent=st.sampled_from(("", "00-1-2-01")),
    **{name: st.just(Sent._field_defaults[name]) for name in TERMS},
) | st.builds(
    lambda job, queue, body, terms: Sent(job, queue, body, **terms),
    job_ids,
    queues,
    bodies,
    st.fixed_dictionaries(
        {"delay": delays},
        optional={
            "ttl": st.sampled_from((1, SECOND, 30 * SECOND)),
            "unique": st.sampled_from(DIGESTS),
            "window_ms": windows,
            "conflict": conflicts,
            "payload": st.sampled_from(("p1", "p2")),
            "due": st.sampled_from((START, START + 90 * SECOND)),
            "keep_ms": st.sampled_from((0, 2 * FAILED_TTL_MS)),
        },
    ).map(_consistent),
)
outcomes = (
    st.builds(Completed, result=values, omitted=texts)
    | st.builds(Failed, error=errors, reason=st.sampled_from(("error", "rejected")))
    | st.builds(Cancelled, reason=texts)
    | st.builds(RetryScheduled, error=errors, retries=st.integers(0, 3))
    | st.builds(Snoozed, reason=texts)
)
reports = (
    st.builds(Progressed, percent=st.floats(0, 100), stage=texts)
    | st.builds(Output, chunk=texts)
    | st.builds(StepCompleted, name=texts, result=values)
)
#: Which job a command means: one in a state, by number, and how far off its attempt is.
targets = st.tuples(
    st.sampled_from(("processing", "processing", "processing", "ended", "waiting", "any")),
    st.integers(0, 5),
    st.sampled_from((0, 0, 0, 0, 0, -1, 1)),
)
STATES = {
    "processing": {"processing"},
    "ended": TERMINAL,
    "waiting": {"pending", "scheduled"},
    "any": set(),
}


#: How a call is made, and what the model says to it.
Repeatable: TypeAlias = tuple[Callable[[], Call], Callable[[], Any]]


def _something_began(machine: MachineAndScripts) -> bool:
    return any(head.attempt for head in machine.model.heads.values())


class MachineAndScripts(RuleBasedStateMachine):
    client: redis.Redis
    layout = keys.LAYOUT

    def __init__(self) -> None:
        super().__init__()
        self.prefix = keys.prefix("t" + secrets.token_hex(5), 0)
        self.model = Model(START, self.layout)
        self.checker = Checker(self.client, self.prefix)
        self.requests = 0
        self.sequence = 0
        #: What can be sent again.
        self.recent: deque[Repeatable] = deque(maxlen=8)
        self.claims: dict[str, Repeatable] = {}

    @initialize(jobs=st.lists(sent, max_size=4))
    def open(self, jobs: list[Sent]) -> None:
        epoch, partitions, position, _ = send(self.client, [SCRIPTS.open(self.prefix, "e", 1)])[0]
        assert (epoch, partitions, position) == (b"e", b"1", b"0")
        self.client.hset(keys.meta(self.prefix), "layout", self.layout)
        self._set_clock()
        if jobs:
            self.submit(jobs)

    # -- commands -----------------------------------------------------------------------------

    @rule(jobs=st.lists(sent, min_size=1, max_size=3))
    def submit(self, jobs: list[Sent]) -> None:
        # Exactly one of both data's forms is on the wire: with `due`, or without for the script to add.
        submissions = [each.submission(encode_data(each.data(each.due))) for each in jobs]
        self._send(
            lambda: SCRIPTS.submit(self.prefix, submissions), lambda: self.model.submit(jobs)
        )

    @rule(job=job_ids, digest=st.sampled_from(DIGESTS), conflict=conflicts, window_ms=windows)
    def submit_unique(self, job: str, digest: str, conflict: str, window_ms: int) -> None:
        terms = {"unique": digest, "conflict": conflict, "window_ms": window_ms}
        self.submit([Sent(job, QUEUES[0], b"", **terms)])

    @precondition(lambda self: any(h.unique for h in self._held()))
    @rule(number=st.integers(0, 5))
    def complete_what_is_unique(self, number: int) -> None:
        held = [head for head in self._held() if head.unique]
        head = held[number % len(held)]
        made = [Outcome(head.job, head.attempt, "worker:w1", Completed())]
        self._send(
            lambda: SCRIPTS.finish(self.prefix, [_packed(outcome) for outcome in made]),
            lambda: self.model.finish(made),
        )

    @rule(job=job_ids, back=st.booleans())
    def expire(self, job: str, back: bool) -> None:
        """A job that nobody starts in time; somebody may send it round again."""
        self.submit([Sent(job, QUEUES[0], b"", ttl=1)])
        self.time_passes(1)
        self.claim("w1", [QUEUES[1]], 0)
        if back:
            op = self._op()
            self._send(
                lambda: SCRIPTS.requeue(self.prefix, [(job, b"")], op=op, by="system", reason=""),
                lambda: self.model.requeue([(job, b"")], op, "system", ""),
            )

    @precondition(lambda self: any(map(self.model.leased, QUEUES)))
    @rule(number=st.integers(0, 5), by=users, reason=texts)
    def cancel_what_runs(self, number: int, by: str, reason: str) -> None:
        self.cancel([("processing", number, 0)], by, reason, "")

    @rule(
        worker=st.sampled_from(WORKERS),
        wanted=st.permutations(QUEUES) | st.lists(queues, min_size=1, max_size=1),
        limit=st.sampled_from((1, 3, 3, 0)),
    )
    def claim(self, worker: str, wanted: list[str], limit: int) -> None:
        op = self._op()

        def call() -> Call:
            return SCRIPTS.claim(
                self.prefix,
                worker=worker,
                op=op,
                queues=wanted,
                limit=limit,
                lease_ms=LEASE_MS,
                max_deaths=MAX_DEATHS,
            )

        self.claims[worker] = (call, lambda: self.model.claim(worker, op, wanted, limit))
        self._send(*self.claims[worker])

    @precondition(lambda self: any(map(self.model.ready, QUEUES)))
    @rule(worker=st.sampled_from(WORKERS), limit=st.sampled_from((1, 2, 3)))
    def claim_what_is_ready(self, worker: str, limit: int) -> None:
        self.claim(worker, list(QUEUES), limit)

    @precondition(lambda self: self.claims)
    @rule(number=st.integers(0, 1))
    def claim_again(self, number: int) -> None:
        """A worker did not hear what its last claim got it."""
        self._compare(*list(self.claims.values())[number % len(self.claims)])

    @precondition(_something_began)
    @rule(which=st.lists(targets, min_size=1, max_size=3))
    def heartbeat(self, which: list[Any]) -> None:
        held = [self._target(target) for target in which]
        self._send(
            lambda: SCRIPTS.heartbeat(self.prefix, LEASE_MS, held, worker="w1"),
            lambda: self.model.heartbeat(held),
        )

    @precondition(_something_began)
    @rule(said=st.lists(st.tuples(targets, reports, users), min_size=1, max_size=3))
    def report(self, said: list[Any]) -> None:
        made = []
        for target, data, by in said:
            self.sequence += 1
            made.append((*self._target(target), self.sequence, by, data))
        self._send(
            lambda: SCRIPTS.report(self.prefix, [pack_report(*each) for each in made]),
            lambda: self.model.report(made),
        )

    @precondition(_something_began)
    @rule(
        ends=st.lists(
            st.tuples(targets, outcomes, users, delays, bodies, st.lists(sent, max_size=2)),
            min_size=1,
            max_size=3,
        )
    )
    def finish(self, ends: list[Any]) -> None:
        made = [
            Outcome(*self._target(target), by, data, delay, body, tuple(outbox))
            for target, data, by, delay, body, outbox in ends
        ]

        def call() -> Call:
            return SCRIPTS.finish(self.prefix, [_packed(outcome) for outcome in made])

        self._send(call, lambda: self.model.finish(made))

    @precondition(lambda self: any(map(self.model.leased, QUEUES)))
    @rule(number=st.integers(0, 5), data=outcomes, delay=delays, body=bodies)
    def finish_what_runs(self, number: int, data: Any, delay: int, body: bytes) -> None:
        job, attempt = self._target(("processing", number, 0))
        made = [Outcome(job, attempt, "worker:w1", data, delay, body)]
        self._send(
            lambda: SCRIPTS.finish(self.prefix, [_packed(outcome) for outcome in made]),
            lambda: self.model.finish(made),
        )

    @precondition(_something_began)
    @rule(which=st.lists(targets, min_size=1, max_size=2), by=users, reason=texts)
    def release(self, which: list[Any], by: str, reason: str) -> None:
        held = [self._target(target) for target in which]
        self._send(
            lambda: SCRIPTS.release(self.prefix, held, by=by, reason=reason),
            lambda: self.model.release(held, by, reason),
        )

    @precondition(lambda self: self.model.heads)
    @rule(which=st.lists(targets, min_size=1, max_size=2), by=users, reason=texts, cause=causes)
    def cancel(self, which: list[Any], by: str, reason: str, cause: str) -> None:
        jobs, op = [self._target(target)[0] for target in which], self._op()
        self._send(
            lambda: SCRIPTS.cancel(self.prefix, jobs, op=op, by=by, reason=reason, cause=cause),
            lambda: self.model.cancel(jobs, op, by, reason, cause),
        )

    @precondition(lambda self: self.model.heads)
    @rule(
        which=st.lists(st.tuples(targets, bodies), min_size=1, max_size=2),
        by=users,
        reason=texts,
        cause=causes,
    )
    def requeue(self, which: list[Any], by: str, reason: str, cause: str) -> None:
        jobs, op = [(self._target(target, "ended")[0], body) for target, body in which], self._op()
        self._send(
            lambda: SCRIPTS.requeue(self.prefix, jobs, op=op, by=by, reason=reason, cause=cause),
            lambda: self.model.requeue(jobs, op, by, reason, cause),
        )

    @rule(
        queue=queues,
        state=st.sampled_from(("paused", "draining", "open", "open")),
        by=users,
        reason=texts,
        request=st.sampled_from(("", "r")),
    )
    def hold(self, queue: str, state: Any, by: str, reason: str, request: str = "") -> None:
        self._send(
            lambda: SCRIPTS.hold(
                self.prefix, queue, state, by=by, reason=reason, correlation=request
            ),
            lambda: self.model.hold(queue, state, by, reason, request),
        )

    @rule(
        data=notes, by=users, tenant=st.sampled_from(("", "t")), request=st.sampled_from(("", "r"))
    )
    def note(self, data: Any, by: str, tenant: str, request: str) -> None:
        op = self._op()
        self._send(
            lambda: SCRIPTS.note(
                self.prefix, data, op=op, by=by, tenant=tenant, correlation=request
            ),
            lambda: self.model.note(data, op, by, tenant, request),
        )

    @rule(job=job_ids, queue=queues, causation=st.sampled_from(("", "job:0")))
    def submit_while_it_drains(self, job: str, queue: str, causation: str) -> None:
        self.hold(queue, "draining", "system", "")
        self.submit([Sent(job, queue, b"", causation=causation)])
        self.hold(queue, "open", "system", "")

    @precondition(lambda self: self.model.log)
    @rule(back=st.sampled_from((0, 0, 1, 4, 20)), most=st.sampled_from((1, 3, 200)))
    def trim(self, back: int, most: int) -> None:
        upto = len(self.model.log) - back
        self._send(
            lambda: SCRIPTS.trim(self.prefix, upto, most=most), lambda: self.model.trim(upto, most)
        )

    @precondition(lambda self: self.recent)
    @rule(back=st.just(0) | st.integers(0, 7))
    def send_again(self, back: int) -> None:
        """A client that lost a reply repeats its call, sooner or later."""
        self._compare(*self.recent[-1 - back % len(self.recent)])

    # -- the world ----------------------------------------------------------------------------

    @rule(by=st.sampled_from((1, 999, SECOND, SECOND, 59 * SECOND)))
    def time_passes(self, by: int) -> None:
        self.model.now += by
        self._set_clock()

    @rule(by=st.sampled_from((1, SECOND, 50 * SECOND, 3600 * SECOND)))
    def clock_goes_back(self, by: int) -> None:
        self.model.now -= by
        self._set_clock()
        self.claim(WORKERS[1], list(QUEUES), 0)

    @rule(early=st.sampled_from((0, 0, 1)))
    def time_passes_to_the_next_event(self, early: int) -> None:
        """Until a lease ends or a due time comes, to the microsecond, or one less."""
        times = [h.due for h in self.model.heads.values() if h.state == "scheduled"]
        times += [*self.model.leases.values(), *self.model.expires.values()]
        self.model.now = min(
            (at - early for at in times if at - early > self.model.now), default=self.model.now
        )
        self._set_clock()

    @precondition(lambda self: self.model.leases)
    @rule()
    def every_worker_dies(self) -> None:
        self.model.now = max(self.model.leases.values())
        self._set_clock()

    @precondition(lambda self: self.model.bells)
    @rule()
    def bells_are_heard(self) -> None:
        for queue in self.model.bells:
            assert self.client.lpop(keys.bell(self.prefix, queue)) == b"1"
        self.model.bells.clear()

    @precondition(lambda self: self.model.ttl)
    @rule(number=st.integers(0, 5))
    def ended_job_is_forgotten(self, number: int) -> None:
        """As when its time to live has run out: the id is free again."""
        job = sorted(self.model.ttl)[number % len(self.model.ttl)]
        self.client.delete(keys.job(self.prefix, job), keys.body(self.prefix, job))
        self.model.forget(job)

    @precondition(lambda self: any(window for _, window in self.model.unique.values()))
    @rule(number=st.integers(0, 1))
    def window_is_over(self, number: int) -> None:
        """As when the time to live of a unique key has run out."""
        windowed = sorted(digest for digest, held in self.model.unique.items() if held[1])
        digest = windowed[number % len(windowed)]
        self.client.delete(keys.unique(self.prefix, digest))
        del self.model.unique[digest]

    # -- comparing ----------------------------------------------------------------------------

    @invariant()
    def same(self) -> None:
        self.checker.check(self.model)

    def teardown(self) -> None:
        self.checker.check_whole_log(self.model)
        self.client.delete(*self.client.scan_iter(f"{self.prefix}*"))

    def _send(self, call: Callable[[], Call], expected: Callable[[], Any]) -> None:
        self.recent.append((call, expected))
        self._compare(call, expected)

    def _compare(self, call: Callable[[], Call], expected: Callable[[], Any]) -> None:
        made = call()
        reply = send(self.client, [made])[0]
        if made.script.name == "claim":
            got = claimed(reply)
            found: Any = got.due_in_ms, [(job.job, job.attempt, job.body) for job in got.jobs]
        elif made.script.name == "hold":
            found = reply.decode()
        elif made.script.name in ("note", "trim"):
            found = reply
        else:
            found = answers(reply)
        assert found == expected()

    def _target(self, target: tuple[str, int, int], kind: str = "") -> tuple[str, int]:
        state, number, off = target
        wanted = STATES[kind if kind and off == 0 else state]
        heads = self.model.heads
        jobs: Sequence[str] = [job for job, head in heads.items() if head.state in wanted]
        if not jobs:
            jobs = list(heads) if heads and wanted else JOBS
        job = jobs[number % len(jobs)]
        head = heads.get(job)
        return job, max(0, (head.attempt if head else 1) + off)

    def _held(self) -> list[Head]:
        return [head for head in self.model.heads.values() if head.state == "processing"]

    def _op(self) -> str:
        self.requests += 1
        return f"op{self.requests}"

    def _set_clock(self) -> None:
        self.client.set(f"{self.prefix}test_clock", self.model.now)


def _packed(outcome: Outcome) -> tuple[bytes, ...]:
    return pack_outcome(
        outcome.job,
        outcome.attempt,
        outcome.by,
        outcome.data,
        delay=outcome.delay,
        body=outcome.body,
        outbox=[each.submission(encode_data(each.data(each.due))) for each in outcome.outbox],
    )


# A failure takes minutes to become small.
@pytest.mark.timeout(600 + EXAMPLES)
@pytest.mark.parametrize("layout", keys.LAYOUTS)
def test_the_scripts_do_what_the_machine_decides(client: redis.Redis, layout: int) -> None:
    machine = type("MachineAndScripts", (MachineAndScripts,), {"client": client, "layout": layout})
    run_state_machine_as_test(
        machine,
        settings=settings(
            # Logs of the layout before take another way in few places.
            max_examples=EXAMPLES if layout == keys.LAYOUT else max(1, EXAMPLES // 6),
            stateful_step_count=50,
            deadline=None,
            print_blob=True,
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
