"""Owns what there is of the log besides Redis: the archive and the index, for all readers of a process."""

from __future__ import annotations

from collections.abc import Callable

from triton.archive import ArchiveStore
from triton.history.archived import Archived
from triton.history.catalogue import Catalogue
from triton.history.index import Index


class Past:
    """For one event loop. Either may be missing: then it is as if it knew nothing.

    `archive` opens the store when it is first needed. Without `rows` the index is asked for segments only,
    and where a job's events are is found without what a projector wrote: for who checks just that.
    """

    def __init__(
        self,
        archive: Callable[[], ArchiveStore] | None = None,
        index: Index | None = None,
        *,
        rows: bool = True,
    ) -> None:
        self.index = index if rows else None
        self.archived = Archived(archive, Catalogue(index, archive))
        #: For the log of an epoch, by its stream's key: the last position that is known to have left Redis.
        self.trimmed: dict[tuple[str, str], int] = {}
