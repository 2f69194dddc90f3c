"""A whole platform on three primaries, of whose roles one each is killed while 2,000 jobs run."""

from __future__ import annotations

from collections import Counter

import pytest
from broker_log import History
from cluster_following import Follower, Submitter
from role_processes import APIS, PROJECTORS, Roles

from cluster_servers import PARTITIONS
from eventually import eventually

JOBS = 2000


@pytest.mark.cluster_only
@pytest.mark.timeout(600)
def test_one_of_each_role_is_killed(roles: Roles, history: History) -> None:
    stores = 2 * PARTITIONS
    eventually(lambda: roles.projecting().total() == stores, timeout=60)
    dies, lives = sorted(PROJECTORS, key=lambda name: -roles.projecting()[name])
    submitters = [
        Submitter(roles.client(name), range(half * JOBS // 2, (half + 1) * JOBS // 2))
        for half, name in enumerate(APIS)
    ]
    followers = [Follower(roles.client(name)) for name in APIS]
    with followers[0], followers[1]:
        for submitter in submitters:
            submitter.start()

        def after(part: float) -> None:
            eventually(lambda: max(f.completed for f in followers) > part * JOBS, timeout=180)

        after(0.1)
        roles.kill("worker-1")
        after(0.2)
        roles.kill("api-1")
        after(0.35)
        roles.away.add(dies)
        roles.kill(dies)
        # On a machine that has time for it: within ten seconds.
        eventually(lambda: roles.projecting()[lives] == stores, timeout=60)
        roles.away.clear()
        after(0.5)
        roles.kill("worker-2")
        after(0.6)
        roles.kill("api-2")
        for submitter in submitters:
            submitter.join(timeout=180)
            assert submitter.problem is None
        eventually(lambda: all(f.completed == JOBS for f in followers), timeout=180)

    jobs = {job for submitter in submitters for job in submitter.jobs}
    assert len(jobs) == JOBS
    history.check()
    assert history.ended() == {"completed": JOBS}
    assert history.jobs().keys() == jobs
    killed = Counter(e.type for e in history.events())["job.lease_lost"]
    assert killed, "no worker held a job when it was killed: nothing was tried"

    # What each client got over all its connections is the log, event for event.
    log = [(event.partition, event.position) for event in history.events()]
    for follower in followers:
        assert follower.problem is None
        assert follower.resets == []
        assert sorted(follower.places()) == log
        for partition in range(PARTITIONS):
            got = [place for place in follower.places() if place[0] == partition]
            assert got == sorted(got)
    # Where the stream of one process was cut, the other process goes on.
    middle = len(log) // 2
    here, there = followers[0], roles.client("api-2")
    with Follower(there, here.cursors[middle]) as rest:
        eventually(lambda: len(rest.events) >= len(log) - middle - 1, timeout=60)
    assert sorted(here.places()[: middle + 1] + rest.places()) == log

    def equal() -> bool:
        verified = roles.triton("verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        return True

    eventually(equal, timeout=120, interval=1)
