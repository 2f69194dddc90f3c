"""Owns what the doctor wants of the archive: it keeps what it is given, creates once, and is in use."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from triton.cli.checks.finding import Finding
from triton.settings import Settings


def check(settings: Settings) -> Iterator[Finding]:
    """Writes small objects and removes them again. Raises UnavailableError, ConfigurationError."""
    from triton.archive import open_archive
    from triton.archive.probing import RACERS, probe

    archive = open_archive(settings.archive_url)
    key = f"doctor/{secrets.token_hex(12)}"
    content = b"written by triton doctor"
    archive.put_new(key, content)
    try:
        if archive.read(key) != content:
            advice = "What was read is not what was written: do not use this store."
            yield Finding("fail", "archive", "it changes what it is given", advice)
        else:
            yield Finding("ok", "archive", "an object can be written and read")
    finally:
        archive.delete(key)
    found = probe(archive)
    advice = "It must honour If-None-Match: use a store (or version) that does; no archiver takes this one."
    if not found.refused:
        yield Finding("fail", "archive", "it replaces an object that is there", advice)
    elif not found.creates_once:
        what = f"{found.winners} of {RACERS} writers of one key were told that theirs is there"
        yield Finding("fail", "archive", what, advice)
    else:
        what = f"an object is created once, by one of {RACERS} writers, and never replaced"
        yield Finding("ok", "archive", what)
    if not found.ranged:
        advice = "History is read by ranges: use a store that answers them."
        yield Finding(
            "fail", "archive", "it does not give back the range that was asked for", advice
        )


def archivers(settings: Settings) -> Iterator[Finding]:
    """Whether somebody archives each partition. Raises UnavailableError, RedisError."""
    from triton.archiving.status import read_status

    for one in read_status(settings):
        what = f"partition {one.partition}: {one.unsigned} events are not signed, {one.unsealed} not sealed"
        if one.forked:
            advice = (
                "`triton log status` shows what was lost; `triton log adopt` goes on without it."
            )
            yield Finding("fail", "archiver", one.forked, advice)
        elif one.working:
            yield Finding("ok", "archiver", what)
        else:
            advice = "Start `triton archiver`; where one runs, its log says why it waits or halted."
            yield Finding("warn", "archiver", f"nobody archives {what}", advice)
