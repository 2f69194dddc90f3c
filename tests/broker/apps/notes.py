"""Owns the file in which actors note what really ran."""

from __future__ import annotations

import os
import time
from pathlib import Path

from triton import current_job


def note(word: str) -> None:
    job = current_job()
    line = f"{word} {job.id} {job.attempt} {os.getpid()} {time.time()}\n"
    with Path(os.environ["NOTES"]).open("ab", buffering=0) as file:
        file.write(line.encode())
