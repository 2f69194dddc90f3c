"""Owns the process of a trial: it imports one handler, and runs the tasks that come down a pipe.

Started as `python -m triton.retroactive.child FD FD SCRATCH`: frames come by the first descriptor, answers go
by the second; see `frames`. What the actor prints goes where the parent sent standard output.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import dramatiq
import msgspec
from dramatiq import Actor
from dramatiq.broker import Broker
from dramatiq.middleware import AsyncIO

from triton.retroactive.account import Account, Ready, Setup, Task
from triton.retroactive.frames import read_frame, write_frame
from triton.retroactive.isolation import close_off
from triton.retroactive.trial import CatchBroker, run


def main(arguments: list[str]) -> None:
    incoming, outgoing, scratch = int(arguments[0]), int(arguments[1]), Path(arguments[2])
    raw = read_frame(incoming)
    if raw is None:
        return
    setup = msgspec.msgpack.decode(raw, type=Setup)
    closed = close_off(scratch, allow_network=setup.allow_network)
    broker = CatchBroker()
    dramatiq.set_broker(broker)
    try:
        actor = find(broker, setup.module, setup.actor)
    except (Exception, SystemExit) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        write_frame(outgoing, msgspec.msgpack.encode(Ready(problem=said, closed=closed)))
        return
    AsyncIO().before_worker_boot(broker, None)
    write_frame(outgoing, msgspec.msgpack.encode(Ready(actor=actor.actor_name, closed=closed)))
    while (raw := read_frame(incoming)) is not None:
        account = run(broker, actor, msgspec.msgpack.decode(raw, type=Task))
        write_frame(outgoing, _encoded(account))
    # Threads that the application began must not keep it.
    os._exit(0)


def find(broker: CatchBroker, module_name: str, name: str) -> Actor[Any, Any]:
    """The actor of a module, by its actor name or its Python name, with everything that it declares
    sending into `broker`. Raises what the import raises, LookupError."""
    sys.path.insert(0, str(Path.cwd()))
    module = importlib.import_module(module_name)
    found = [each for each in vars(module).values() if isinstance(each, Actor)]
    others: list[Broker] = [dramatiq.get_broker(), *(each.broker for each in found)]
    for other in others:
        if other is not broker:
            broker.take_over(other)
    for each in found:
        broker.take(each)
    dramatiq.set_broker(broker)
    by_name = vars(module).get(name)
    if isinstance(by_name, Actor):
        return by_name
    if name in broker.actors:
        return broker.actors[name]
    known = ", ".join(sorted(broker.actors)) or "none"
    raise LookupError(f"the module {module_name} has no actor {name!r}, it has {known}")


def _encoded(account: Account) -> bytes:
    return msgspec.msgpack.encode(account)


if __name__ == "__main__":
    main(sys.argv[1:])
