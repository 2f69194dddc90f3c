"""Moves the slot of a partition to another primary, key by key, while there are jobs in it."""

from __future__ import annotations

from collections.abc import Iterator

import dramatiq
import pytest
from broker_kit import MakeBroker, Run
from broker_log import History

from cluster_servers import PARTITIONS, PRIMARIES, ClusterServers
from triton import keys
from triton.errors import UnavailableError


def test_a_partition_that_moves_refuses_calls_as_a_whole_and_goes_on(
    make_broker: MakeBroker, run: Run, history: History, cluster: ClusterServers, namespace: str
) -> None:
    """Once a key has left, no script finds all that it needs on one node: half of it must not be done."""
    broker = make_broker()

    @dramatiq.actor
    def work() -> None:
        pass

    messages = _of_first_partition(work)
    sent = [next(messages) for _ in range(4)]
    for message in sent:
        broker.enqueue(message)
    log = keys.log(keys.prefix(namespace, 0))
    home = cluster.home(log)
    to = next(node for node in cluster.nodes[:PRIMARIES] if node is not home)
    cluster.begin_to_move(log, to)
    late = next(messages)
    for count in (4, 100):
        # A job is new to the log, so keys are missing from the first moment on.
        with pytest.raises(UnavailableError, match="a slot moves between nodes"):
            broker.enqueue(late)
        cluster.move_some(log, home, to, count)
    cluster.end_to_move(log, home, to)
    broker.enqueue(late)
    with run(broker):
        broker.join("default")
    assert cluster.home(log) is to
    history.check()
    assert history.ended() == {"completed": len(sent) + 1}


def _of_first_partition(actor: dramatiq.Actor[[], None]) -> Iterator[dramatiq.Message[None]]:
    while True:
        message = actor.message()
        if keys.partition_of(message.message_id, PARTITIONS) == 0:
            yield message
