"""Owns whether what let somebody in still counts: asked when a stream opens, and again while it is open.

A key, a session or a stream token that was taken back ends the streams that it opened, in every process.
Stream tokens are kept nowhere, so those that were taken back are written down: one sorted set in Redis for
each tenant, with the time when the token would have ended anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import redis.asyncio
from redis.exceptions import RedisError

from triton import keys
from triton.errors import ConflictError, UnavailableError, no_answer
from triton.identity.principal import Principal
from triton.identity.verifying import Verifier
from triton.observe.logger import get_logger

#: Tokens of one tenant that are taken back at the same time, at most: they are held in memory.
MOST: Final = 10_000
#: Seconds between two looks at least, and tokens that one question names.
_SHORTEST: Final = 0.1
_PAGE: Final = 500
_log: Final = get_logger("triton.identity")

Close = Callable[[], None]


class _Proof(NamedTuple):
    """What let somebody in: `token` of `tenant` (empty for none), on the word of `source`."""

    tenant: str
    token: str
    source: str


class Standing:
    """For one process. `every` are the seconds between two looks at what open streams stand on."""

    def __init__(
        self, client: redis.asyncio.Redis, namespace: str, verifier: Verifier, *, every: float
    ) -> None:
        self._client = client
        self._prefix = keys.prefix(namespace, 0)
        self._verifier = verifier
        self._every = max(every, _SHORTEST)
        self._open: dict[_Proof, set[Close]] = {}

    async def take_back(self, tenant: str, token: str, lifetime_ms: int) -> None:
        """From now on a stream token of this tenant counts no more; again is no error. It could have counted
        for `lifetime_ms` at most. Raises ConflictError for too many, UnavailableError."""
        name = keys.revoked(self._prefix, tenant)
        now = int(time.time() * 1000)
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.zremrangebyscore(name, "-inf", now)
                pipe.zcard(name)
                _, count = await pipe.execute()
            if count >= MOST:
                raise ConflictError(
                    f"{count} stream tokens of the tenant {tenant!r} are taken back already, which is the "
                    "most: revoke the API key that they were made with",
                    limit=MOST,
                )
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.zadd(name, {token: now + lifetime_ms})
                pipe.pexpire(name, lifetime_ms, gt=True)
                pipe.pexpire(name, lifetime_ms, nx=True)
                await pipe.execute()
        except RedisError as error:
            raise UnavailableError(no_answer("Redis", error)) from error

    async def is_over(self, who: Principal) -> bool:
        """Whether the stream token that somebody came with, or what it was made with, was taken back.

        Where a store does not answer it counts: without Redis no stream opens, and those that are open are
        looked at again.
        """
        return bool(await self._over([_proof(who)]))

    def watch(self, who: Principal, close: Close) -> Close:
        """Calls `close` once what let somebody in counts no more. Answers what to call to end that."""
        proof = _proof(who)
        if not (proof.token or proof.source):
            return _nothing
        self._open.setdefault(proof, set()).add(close)

        def leave() -> None:
            closes = self._open.get(proof, set())
            closes.discard(close)
            if not closes:
                self._open.pop(proof, None)

        return leave

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._look()
            except Exception:
                # A bug of ours must not let what was taken back go on for ever.
                _log.exception("open_streams_not_looked_at")

    async def _look(self) -> None:
        for proof in await self._over(list(self._open)):
            for close in [*self._open.get(proof, ())]:
                close()

    async def _over(self, proofs: Sequence[_Proof]) -> list[_Proof]:
        over = await self._taken_back([proof for proof in proofs if proof.token])
        ended = {
            source for source in {proof.source for proof in proofs} if await self._ended(source)
        }
        return [proof for proof in proofs if proof in over or proof.source in ended]

    async def _taken_back(self, proofs: Sequence[_Proof]) -> set[_Proof]:
        found: set[_Proof] = set()
        now = time.time() * 1000
        try:
            for start in range(0, len(proofs), _PAGE):
                page = proofs[start : start + _PAGE]
                async with self._client.pipeline(transaction=False) as pipe:
                    for proof in page:
                        pipe.zscore(keys.revoked(self._prefix, proof.tenant), proof.token)
                    ends = await pipe.execute()
                found |= {one for one, end in zip(page, ends, strict=True) if end and end > now}
        except RedisError as error:
            _log.warning("taken_back_not_known", reason=str(error))
        return found

    async def _ended(self, source: str) -> bool:
        try:
            return bool(source) and not await self._verifier.counts(source)
        except UnavailableError as error:
            _log.warning("taken_back_not_known", reason=error.message)
            return False


def _proof(who: Principal) -> _Proof:
    kind, _, name = who.by.partition(":")
    if kind == "stream":
        return _Proof(who.tenant, name, who.made_with)
    if who.session:
        return _Proof("", "", f"session:{who.session}")
    return _Proof("", "", who.by if kind == "key" else "")


def _nothing() -> None:
    """Of what cannot be taken back."""
