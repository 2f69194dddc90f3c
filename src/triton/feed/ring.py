"""Owns the ring: the newest entries of one partition by position, with an index by topic. No I/O.

An entry is turned into a frame when the first client asks for it, once for all clients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import compress, pairwise
from typing import Final, NamedTuple, Protocol

from triton.events.entries import Page
from triton.events.envelope import JOB
from triton.events.log import Entry
from triton.events.types import TERMINAL
from triton.feed.topics import Topic, own

#: Pages that are remembered: streams that were woken together read the same one.
_PAGES: Final = 4


class Frame(NamedTuple):
    """A ready frame, with the little that a stream needs to know of it."""

    position: int
    version: int
    type: str
    #: All of the frame, with the cursor of who follows its partition alone.
    raw: bytes
    #: The event's JSON.
    line: bytes


class Batch(NamedTuple):
    """Frames that follow one another for some topic, and their bytes."""

    frames: tuple[Frame, ...]
    raw: bytes
    #: Whether these are all.
    complete: bool
    #: Whether these are all, one version after the other, and none of them ends its job: then nothing is left
    #: to decide for a stream that has seen the version before the first.
    plain: bool


NOTHING: Final = Batch((), b"", complete=True, plain=True)


class Choice(NamedTuple):
    """What a filter takes of the newest entries, which end at `last`."""

    frames: tuple[Frame, ...]
    raw: bytes
    last: int
    #: Whose these are.
    jobs: frozenset[str]
    #: Whether one of them ends its job.
    ends: bool


class Chooses(Protocol):
    """A filter; equal ones choose the same."""

    def mask(self, page: Page) -> list[bool]: ...

    def __hash__(self) -> int: ...


class _Slot:
    __slots__ = ("entry", "frame", "size", "topics")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.topics = own(entry)
        self.frame: Frame | None = None
        self.size = sum(map(len, entry.fields))


class Ring:
    """Up to `capacity` entries and `max_bytes` of their stored bytes; always at least the newest."""

    def __init__(
        self, after: int, make: Callable[[Entry], Frame], *, capacity: int, max_bytes: int
    ) -> None:
        self.last = after
        self.oldest = after + 1
        self._make = make
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._bytes = 0
        self._slots: list[_Slot | None] = [None] * capacity
        self._index: dict[Topic, deque[int]] = {}
        self._pages: dict[tuple[int, int], Page] = {}
        #: The newest answer of `read`, and what it answers: streams that were woken together ask the same.
        self._asked: tuple[Topic, int, int] | None = None
        self._batch = NOTHING
        #: The answers of `chosen` since the last entry.
        self._chosen: dict[tuple[int, Chooses], Choice] = {}
        #: Those of `choice`, by the first position and the mask.
        self._masked: dict[tuple[int, bytes], Choice] = {}
        #: What readers made of choices since then, by whatever tells theirs apart.
        self.made: dict[tuple[object, ...], bytes] = {}

    def append(self, entry: Entry) -> tuple[Topic, ...]:
        """Take the next entry, dropping the oldest where there is no room. Answers its topics."""
        if entry.position != self.last + 1:
            raise ValueError(f"the ring ends at {self.last}, {entry.position} does not follow")
        slot = _Slot(entry)
        if self.last - self.oldest + 1 == self._capacity:
            self._drop()
        self.last = entry.position
        self._asked = None
        self._chosen.clear()
        self._masked.clear()
        self.made.clear()
        self._slots[self.last % self._capacity] = slot
        self._bytes += slot.size
        for topic in slot.topics:
            self._index.setdefault(topic, deque()).append(self.last)
        while self._bytes > self._max_bytes and self.oldest < self.last:
            self._drop()
        return slot.topics

    def covers(self, after: int) -> bool:
        """Whether everything after a position is here."""
        return after >= self.oldest - 1

    def newest(self) -> Entry | None:
        slot = self._slots[self.last % self._capacity] if self.last >= self.oldest else None
        return slot.entry if slot else None

    def read(self, topic: Topic, after: int, max_bytes: int) -> Batch:
        """The topic's frames after a position, oldest first.

        More than max_bytes only where one frame alone has more.
        """
        asked = (topic, after, max_bytes)
        if asked != self._asked:
            self._batch = self._read(topic, after, max_bytes)
            self._asked = asked
        return self._batch

    def _read(self, topic: Topic, after: int, max_bytes: int) -> Batch:
        positions: list[int] = []
        for position in reversed(self._index.get(topic, ())):
            if position <= after:
                break
            positions.append(position)
        frames: list[Frame] = []
        size = 0
        for position in reversed(positions):
            frame = self.frame(position)
            size += len(frame.raw)
            if frames and size > max_bytes:
                return _batch(frames, complete=False)
            frames.append(frame)
        return _batch(frames, complete=True)

    def chosen(self, partition: int, after: int, wanted: Chooses) -> Choice:
        """What is wanted of all that follows a position."""
        asked = (after, wanted)
        found = self._chosen.get(asked)
        if found is None:
            page = self.page(partition, after, self.last - after)
            found = self._chosen[asked] = self.choice(page, wanted.mask(page) if page else ())
        return found

    def choice(self, page: Page | None, mask: Sequence[bool]) -> Choice:
        """What a mask leaves of a page up to the ring's end."""
        if page is None:
            return Choice((), b"", self.last, frozenset(), ends=False)
        asked = page.positions[0], bytes(mask)
        found = self._masked.get(asked)
        if found is None:
            frames = tuple(map(self.frame, compress(page.positions, mask)))
            jobs = frozenset(map(bytes.decode, compress(page.columns[JOB], mask)))
            ends = any(frame.type in TERMINAL for frame in frames)
            raw = b"".join([each.raw for each in frames])
            found = self._masked[asked] = Choice(frames, raw, self.last, jobs, ends)
        return found

    def page(self, partition: int, after: int, most: int) -> Page | None:
        """The entries after a position, oldest first, up to a number of them; None for no entries.

        The ring must cover the position.
        """
        last = min(self.last, after + most)
        if last <= after:
            return None
        page = self._pages.get((after, last))
        if page is None:
            slots = (
                self._slots[position % self._capacity] for position in range(after + 1, last + 1)
            )
            fields = [slot.entry.fields for slot in slots if slot is not None]
            columns = list(zip(*(each[1::2] for each in fields), strict=True))
            page = Page(partition, range(after + 1, last + 1), columns)
            if len(self._pages) >= _PAGES:
                self._pages.clear()
            self._pages[after, last] = page
        return page

    def frame(self, position: int) -> Frame:
        """The frame of an entry that is here."""
        slot = self._slots[position % self._capacity]
        assert slot is not None
        if slot.frame is None:
            slot.frame = self._make(slot.entry)
        return slot.frame

    def _drop(self) -> None:
        index = self.oldest % self._capacity
        slot = self._slots[index]
        assert slot is not None
        self._slots[index] = None
        self._bytes -= slot.size
        for topic in slot.topics:
            positions = self._index[topic]
            positions.popleft()
            if not positions:
                del self._index[topic]
        self.oldest += 1


def _batch(frames: list[Frame], *, complete: bool) -> Batch:
    raw = b"".join([frame.raw for frame in frames])
    plain = complete and all(frame.type not in TERMINAL for frame in frames)
    follow = all(after.version == frame.version + 1 for frame, after in pairwise(frames))
    return Batch(tuple(frames), raw, complete, plain and follow)
