"""Owns how tests see and change the message that Redis keeps of a job."""

from __future__ import annotations

import msgspec
import redis

from triton import keys
from triton.events.codec import decode_entry
from triton.events.heads import born_of
from triton.events.types import Submitted


def message_of(client: redis.Redis, prefix: str, job: str) -> bytes:
    """As a worker would get it."""
    born = born_of(client.hgetall(keys.job(prefix, job)))
    if born.own_body:
        own = client.get(keys.body(prefix, job))
        assert isinstance(own, bytes)
        return own
    at = f"{born.position}-0"
    ((entry_id, fields),) = client.xrange(keys.log(prefix), at, at)
    if isinstance(fields, dict):  # a client as an application has it
        fields = [part for pair in fields.items() for part in pair]
    data = decode_entry(0, entry_id, fields).data
    assert isinstance(data, Submitted)
    return data.body


def replace_message(client: redis.Redis, prefix: str, job: str, body: bytes | None) -> None:
    """As a retry that changed it, whatever the job's state; None for a message that is gone."""
    key = keys.job(prefix, job)
    born = msgspec.structs.replace(born_of(client.hgetall(key)), own_body=1)
    client.hset(key, "born", msgspec.msgpack.encode(born)[1:])
    if body is None:
        client.delete(keys.body(prefix, job))
    else:
        client.set(keys.body(prefix, job), body)
