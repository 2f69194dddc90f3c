"""Owns the row in `checkpoints`: who may move it (the lease and its fence), and the compare-and-set."""

from __future__ import annotations

import os
import secrets
import socket
from typing import Final, Self

import psycopg

from triton.checkpoints.statements import sql
from triton.errors import FencedError
from triton.events.log import Checkpoint, Entry
from triton.postgres import Connection

#: Seconds after which a projector that says nothing is replaced: with a standby's look each second, another
#: works within 10 s, whatever became of it.
LEASE_SECONDS: Final = 8.0


def new_owner() -> str:
    """A name for one that holds leases in this process; no other has it, and it tells people where it is."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Lease:
    """The right to move one checkpoint, and where it is.

    The lease only chooses who works. What protects the data is the fence: every commit compares it in the
    transaction that writes the effects, so a holder that was replaced without noticing cannot commit.
    """

    def __init__(
        self,
        connection: Connection,
        projector: str,
        partition: int,
        fence: int,
        checkpoint: Checkpoint,
        seconds: float,
    ) -> None:
        self.connection = connection
        self.projector = projector
        self.partition = partition
        self.fence = fence
        self.checkpoint = checkpoint
        self.seconds = seconds

    @classmethod
    async def acquire(
        cls,
        connection: Connection,
        projector: str,
        partition: int,
        *,
        epoch: str,
        owner: str,
        seconds: float = LEASE_SECONDS,
        push: bool = False,
    ) -> Self | None:
        """Take the checkpoint over, making it at position 0 if there is none; None while another holds it.
        The session of one whose lease ran out is ended.

        `owner` names the process, so that it gets its own lease back at once. `epoch` is of the log, for
        a new checkpoint. With `push` a living holder is replaced, too, which its fence tells it.
        """
        values = {
            "projector": projector,
            "partition": partition,
            "epoch": epoch,
            "owner": owner,
            "seconds": seconds,
            "push": push,
        }
        await connection.execute(sql("end_lapsed"), values)
        try:
            async with connection.transaction():
                await connection.execute(sql("soon"))
                cursor = await connection.execute(sql("acquire"), values)
                row = await cursor.fetchone()
        except psycopg.errors.LockNotAvailable:
            return None  # its holder commits just now, or stands still: then its session is ended next time
        if row is None:
            return None
        found, position, digest, fence = row
        checkpoint = Checkpoint(found, position, digest)
        return cls(connection, projector, partition, fence, checkpoint, seconds)

    def checkpoint_at(self, last: Entry) -> Checkpoint:
        """The checkpoint once everything up to an entry is applied."""
        return Checkpoint(self.checkpoint.epoch, last.position, last.digest())

    async def move(self, last: Entry) -> Checkpoint:
        """Within the caller's transaction, move the checkpoint to an entry; answers the new one, which the
        caller sets after the commit. Raises FencedError."""
        to = self.checkpoint_at(last)
        await self.advance(to.position, to.digest)
        return to

    async def advance(self, position: int, digest: str) -> None:
        """The same for any position and the digest of its entry, empty for none. Raises FencedError."""
        await self.fenced(sql("advance"), {"to": position, "digest": digest})

    async def renew(self) -> None:
        """Stay the holder. Raises FencedError."""
        await self.fenced(sql("renew"), {})

    async def fenced(self, statement: bytes, values: dict[str, object]) -> None:
        """Run a statement that touches one row for the holder, and none for who was replaced. It may name
        `projector`, `partition`, `fence`, `from` (the checkpoint's position) and `seconds` besides `values`.
        Raises FencedError."""
        cursor = await self.connection.execute(statement, {**self._key(), **values})
        if cursor.rowcount != 1:
            raise FencedError(
                f"projector {self.projector} of partition {self.partition} was replaced: its fence "
                f"{self.fence} at position {self.checkpoint.position} is no longer the checkpoint's",
                projector=self.projector,
                partition=self.partition,
            )

    async def release(self) -> None:
        """Let another begin at once. Does nothing for who was replaced."""
        await self.connection.execute(sql("release"), self._key())

    def _key(self) -> dict[str, object]:
        return {
            "projector": self.projector,
            "partition": self.partition,
            "fence": self.fence,
            "from": self.checkpoint.position,
            "seconds": self.seconds,
        }
