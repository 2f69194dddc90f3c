"""Owns `triton verify`: the proof that both stores equal the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from triton.cli.exits import NO
from triton.cli.options import Data, Json
from triton.cli.telling import takes_long

if TYPE_CHECKING:
    from triton.settings import Settings


@takes_long("verify")
def verify(data: Data = None, as_json: Json = False) -> None:
    """Fold the log again and compare both stores row by row; exit 1 where they differ.

    Each store is compared up to its projector's checkpoint; how far that is behind the log is shown.
    """
    from triton.cli.target import LIVE, engines

    if not prove(engines(data, *LIVE), as_json=as_json):
        raise typer.Exit(NO)


def prove(settings: Settings, *, as_json: bool = False) -> bool:
    """Compares, prints what came of it, and answers whether everything is equal."""
    import msgspec

    from triton.cli import output
    from triton.projections import report as reports
    from triton.projections.verify import verify as compare

    report = compare(settings)
    if as_json:
        output.document({"ok": report.ok, **msgspec.structs.asdict(report)})
    else:
        for line in reports.render(report).splitlines():
            output.line(line)
    return report.ok
