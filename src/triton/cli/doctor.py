"""Owns `triton doctor`: looks at every engine and setting, and says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from triton.cli.exits import NO
from triton.cli.options import Data, Json, Url

if TYPE_CHECKING:
    from rich.text import Text

    from triton.cli.checks import Finding


def doctor(data: Data = None, url: Url = None, as_json: Json = False) -> None:
    """Look at every engine and setting; exit 1 where something must be done."""
    import msgspec

    from triton.cli import output

    found: list[Finding] = []
    console = output.console()
    for finding in examine(data, url):
        found.append(finding)
        if not as_json:
            console.print(_line(finding), soft_wrap=True)
    if as_json:
        output.document({"findings": [msgspec.structs.asdict(finding) for finding in found]})
    if any(finding.level == "fail" for finding in found):
        raise typer.Exit(NO)


def examine(data: str | None, url: str | None) -> Iterator[Finding]:
    """Everything, one after the other; what cannot be looked at is a finding itself."""
    from triton import settings
    from triton.cli.checks import Finding, api, archive, keys, machine, redis, stores
    from triton.cli.checks.finding import findings
    from triton.cli.target import api_url, engines
    from triton.errors import UnavailableError

    yield from machine.check(settings.load(data=data))
    needed = ("redis_url", "database_url", "clickhouse_url", "archive_url")
    try:
        chosen = engines(data, *needed)
    except UnavailableError as error:
        advice = "Run `triton up`, or set all four TRITON_*_URL."
        yield Finding("fail", "stack", error.message, advice)
        return
    checks = (
        ("redis", redis.check, "Is it running, and is TRITON_REDIS_URL right?"),
        ("postgres", stores.postgres, "Is it running, and is TRITON_DATABASE_URL right?"),
        ("clickhouse", stores.clickhouse, "Is it running, and is TRITON_CLICKHOUSE_URL right?"),
        ("archive", archive.check, "Is TRITON_ARCHIVE_URL right, and may it be written?"),
        ("keys", keys.check, "Are TRITON_SUBJECT_KEYS and TRITON_SUBJECT_MASTER_KEY right?"),
        ("projectors", stores.projectors, "Are Redis and PostgreSQL running?"),
        ("archiver", archive.archivers, "Are Redis and PostgreSQL running?"),
    )
    for about, check, advice in checks:
        yield from findings(about, check, chosen, advice)
    yield from findings(
        "api",
        lambda _: api.check(api_url(data, url)),
        chosen,
        "Is it running? `triton up` runs it.",
    )


def _line(finding: Finding) -> Text:
    from rich.text import Text

    from triton.cli.output import STYLES, safe

    return Text.assemble(
        (f"{finding.level:<6}", STYLES[finding.level]),
        f"{finding.about:<11} {safe(finding.what)}",
        f"\n{'':18}do: {safe(finding.advice)}" if finding.advice else "",
    )
