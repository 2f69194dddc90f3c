"""Owns where the cursors' key lives: beside the log in Redis, so that every process signs alike."""

from __future__ import annotations

import secrets

import redis.asyncio

from triton import keys

_FIELD = "cursor_key"


async def signing_key(client: redis.asyncio.Redis, namespace: str) -> bytes:
    """The key of this log's cursors, made by whoever asks first. Raises RedisError."""
    meta = keys.meta(keys.prefix(namespace, 0))
    await client.hsetnx(meta, _FIELD, secrets.token_bytes(32))
    key = await client.hget(meta, _FIELD)
    assert isinstance(key, bytes), "a field that was set a moment ago"
    return key
