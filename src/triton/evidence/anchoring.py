"""Owns telling others of signed tree heads: a webhook, and witnesses whose signatures are kept.

Nothing waits for them: who does not answer, or refuses, is asked again with the next head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

import httpx

from triton.archive import ArchiveStore
from triton.errors import EvidenceError, TritonError, UnavailableError
from triton.evidence import notes, tiled, witnesses
from triton.evidence.heads import Follower
from triton.evidence.ledger import Ledger
from triton.evidence.notes import Note, Signature, Signer, TreeHead
from triton.evidence.tree import Frontier
from triton.evidence.witnesses import Witness
from triton.observe.logger import get_logger
from triton.settings import Settings

#: Seconds between two looks whether there is a head that they do not know.
SECONDS: Final = 60.0
_TIMEOUT: Final = httpx.Timeout(10.0)
#: Bytes of an answer that are read.
_MOST: Final = 64 * 1024


class Answer(NamedTuple):
    status: int
    body: bytes


class Anchors:
    """Of one partition's tree. `sealed` answers the frontier after the last sealed segment."""

    def __init__(
        self,
        follower: Follower,
        sealed: Callable[[], Frontier],
        ledger: Ledger,
        archive: ArchiveStore,
        signer: Signer,
        settings: Settings,
    ) -> None:
        self._follower = follower
        self._sealed = sealed
        self._ledger = ledger
        self._archive = archive
        self._signer = signer
        self._origin = ledger.tree.origin(settings.origin)
        self._webhook = settings.heads_webhook
        self._witnesses = witnesses.parse_witnesses(settings.witnesses)
        self._told = b""
        #: Witness -> the size of the last head that it signed.
        self._seen: dict[Witness, int] = {}
        self._say = get_logger("triton.archiver").bind(partition=ledger.tree.partition)

    @property
    def any(self) -> bool:
        return bool(self._webhook or self._witnesses)

    async def step(self) -> bool:
        """Tell who does not know the newest head. Raises FencedError."""
        note = self._follower.newest_note
        if self._webhook and note != self._told and await self._posted(note):
            self._told = note
        await self._ask()
        return False

    async def _posted(self, note: bytes) -> bool:
        try:
            status, _ = await asyncio.to_thread(post, self._webhook, note)
        except UnavailableError as error:
            self._say.warning("archiver.head_not_posted", error=error.message)
            return False
        if not 200 <= status < 300:
            self._say.warning("archiver.head_not_posted", error=f"it answered {status}")
        return 200 <= status < 300

    async def _ask(self) -> None:
        """Have the head of what is sealed signed by each witness that did not."""
        frontier, at = self._sealed(), self._ledger.lease.checkpoint
        missing = [one for one in self._witnesses if self._seen.get(one, 0) < frontier.size]
        if not missing or at.position != frontier.size:
            return
        head = TreeHead(self._origin, frontier.size, frontier.root())
        note = await asyncio.to_thread(notes.sign, str(head), [self._signer])
        found: list[Signature] = []
        for witness in missing:
            try:
                found += await self._signed(witness, head, note)
                self._seen[witness] = head.size
            except TritonError as error:
                self._say.warning(
                    "archiver.not_witnessed", witness=witness.key.name, error=error.message
                )
        if found:
            both = Note(note.text, (*note.signatures, *found))
            await self._ledger.add_head(head, bytes(both), at.digest)

    async def _signed(self, witness: Witness, head: TreeHead, note: Note) -> list[Signature]:
        """Raises EvidenceError where it signed another history, or answers nonsense; UnavailableError."""
        old = self._seen.get(witness, 0)
        url = f"{witness.url}/add-checkpoint"
        for _ in range(2):
            proof = await self._proof(old, head.size)
            body = witnesses.request(old, proof, bytes(note))
            status, said = await asyncio.to_thread(post, url, body)
            if status == witnesses.SIGNED:
                return witnesses.cosignatures(note.text, said, witness.key)
            known = witnesses.size_in(said) if status == witnesses.OTHER_SIZE else None
            if known is None:
                break
            if known > head.size:
                raise EvidenceError(
                    f"it has signed a head of {known} events, and this log has {head.size}: what came after "
                    "was lost, or somebody else signs as this platform; run `triton audit verify`"
                )
            old = known
        raise EvidenceError(f"it answered {status} to a head that goes on from {old} events")

    async def _proof(self, old: int, size: int) -> list[bytes]:
        if not 0 < old < size:
            return []
        rows = [one for one in await self._ledger.segments() if one.sealed]
        reader = tiled.hash_reader(self._archive, self._ledger.tree, rows)
        return await asyncio.to_thread(reader.consistency, old, size)


def post(url: str, body: bytes) -> Answer:
    """What a server answers. Raises UnavailableError."""
    headers = {"content-type": "text/plain; charset=utf-8", "user-agent": "Triton"}
    found = b""
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, trust_env=False) as client,
            client.stream("POST", url, content=body, headers=headers) as answer,
        ):
            for chunk in answer.iter_bytes():
                found += chunk
                if len(found) > _MOST:
                    raise UnavailableError(f"{url} answers without an end")
            return Answer(answer.status_code, found)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnavailableError(f"{url}: {type(error).__name__} {error}") from error
