"""Owns what a follower of many jobs is sent on the spot, without waking its task, and when that can be.

Followers that stand at the same place and asked for the same are sent the same bytes, which are made once.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from triton.feed import frames
from triton.feed.contract import Write
from triton.feed.hub import Subscription
from triton.feed.many_reader import LIVE, ManyReader
from triton.feed.ring import Choice, Ring


class ServingReader(ManyReader):
    """A follower that can be served while it waits."""

    def serve(self, write: Write, alive: AbstractSet[str] | None = None) -> bool:
        """Send what is new, where that is simple: all of it in the ring, none of it known before, and nobody
        to be asked. Otherwise False, and `next` goes on from here.

        `alive`: the jobs whose end the follower waits for; then no event of another, and no end, is simple.
        """
        if not self._ready:
            # Nothing is there for it in the others: so all who are up to date have the same cursor.
            for place in self._places:
                if not place.pending:
                    self._seek(place, self._hub.ring(place.partition).last)
        return all(self._serve_from(place, write, alive) for place in self._places if place.pending)

    def _serve_from(
        self, place: Subscription, write: Write, alive: AbstractSet[str] | None
    ) -> bool:
        ring = self._hub.ring(place.partition)
        after = max(self._of(place), place.pending - 1)
        if not ring.covers(after) or after + LIVE < ring.last:
            return False
        choice = self._choice(ring, place.partition, after)
        if choice is None:
            return False
        if choice.frames:
            if alive is not None and (choice.ends or not choice.jobs <= alive):
                return False
            if self._skip:
                first = choice.frames[0].position
                if any(self._skip.get(job, 0) >= first for job in choice.jobs):
                    return False
            if not write(choice.raw if self._ready else self._marked(ring, place, after, choice)):
                return False
            self._hub.delivered += len(choice.frames)
        self._seek(place, choice.last)
        return True

    def _choice(self, ring: Ring, partition: int, after: int) -> Choice | None:
        """None where somebody is to be asked."""
        if self._actors is None:
            return ring.chosen(partition, after, self._wanted)
        page = ring.page(partition, after, LIVE)
        if page is None:
            return ring.choice(page, ())
        if not self._actors.learn_alone(page):
            return None
        return ring.choice(page, self._wanted.mask(page, self._actors.fits))

    def _marked(self, ring: Ring, place: Subscription, after: int, choice: Choice) -> bytes:
        """The frames with this follower's cursors, for all who stand where it does."""
        index = place.partition - self._first
        # Up to there nothing was for it.
        self._seen[index] = after
        # The frames, too: two who follow by actor may have learned different things of a job.
        key = (self._tenant, self._wanted, choice.raw, *self._seen)
        found = ring.made.get(key)
        if found is None:
            marked = []
            for frame in choice.frames:
                self._seen[index] = frame.position
                marked.append(frames.event(frame.line, self.cursor()))
            self._seen[index] = after
            found = ring.made[key] = b"".join(marked)
        return found
