"""Owns what becomes of an entry on its way to clients: its JSON, its cursor, its frame. Pure."""

from __future__ import annotations

from triton.events.log import Entry
from triton.events.render import Shown, show_entry
from triton.feed import frames
from triton.feed.cursor import Cursor, Signer, epoch_id
from triton.feed.ring import Frame


class Framer:
    """Frames for one log; `source` is what events name as their source."""

    def __init__(self, signer: Signer, source: str) -> None:
        self.signer = signer
        self.source = source

    def cursor(self, epoch: str, partition: int, position: int, tenant: str) -> str:
        """The cursor of who has seen one partition up to a position."""
        return self.signer.write(Cursor(epoch_id((epoch,)), partition, (position,)), tenant)

    def entry(self, epoch: str, entry: Entry) -> Frame:
        return self.shown(epoch, show_entry(entry, self.source))

    def shown(self, epoch: str, shown: Shown) -> Frame:
        cursor = self.cursor(epoch, shown.partition, shown.position, shown.tenant)
        raw = frames.event(shown.json, cursor)
        return Frame(shown.position, shown.version, shown.type, raw, shown.json)
