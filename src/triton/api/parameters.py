"""Owns the parameters that several routes share."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from fastapi import Path, Query

from triton.submit import MAX_NAME

#: PostgreSQL takes no U+0000, and no name holds one.
_PATTERN: Final = r"^[^\x00]+$"

JobId: TypeAlias = Annotated[
    str, Path(min_length=1, max_length=MAX_NAME, pattern=_PATTERN, description="The job's id.")
]
DocumentId: TypeAlias = Annotated[
    str, Path(min_length=1, max_length=MAX_NAME, pattern=_PATTERN, description="The document's id.")
]
#: A name to filter by; None does not filter.
Name: TypeAlias = Annotated[str | None, Query(min_length=1, max_length=MAX_NAME, pattern=_PATTERN)]
