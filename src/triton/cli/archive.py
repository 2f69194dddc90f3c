"""Owns `triton archive`: how the archive of the log stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from triton.cli.options import Data, Json

if TYPE_CHECKING:
    from triton.archiving.status import ArchiveStatus

app = typer.Typer(
    no_args_is_help=True,
    help="The log in the archive: what is sealed and signed, and what may leave Redis.",
)

_REASONS: Final = {
    "archive": "it is not sealed yet (TRITON_SEAL_EVENTS, TRITON_SEAL_MS)",
    "newest": "TRITON_KEEP_EVENTS keeps the newest",
    "youngest": "TRITON_KEEP_MS keeps the youngest",
    "archiver": "the archiver stands there",
}


@app.callback()
def root() -> None:
    """The log in the archive."""


@app.command()
def status(data: Data = None, as_json: Json = False) -> None:
    """Show what is sealed, signed and trimmed of each partition, and what holds the trim back."""
    import msgspec

    from triton.archiving.status import read_status
    from triton.cli import output
    from triton.cli.target import engines

    found = read_status(engines(data, "redis_url", "database_url"))
    if as_json:
        output.document({"partitions": [msgspec.to_builtins(one) for one in found]})
        return
    for one in found:
        for line in _lines(one):
            output.line(line)


def _lines(one: ArchiveStatus) -> list[str]:
    each = f", {one.bytes / one.events:.1f} bytes per event" if one.events else ""
    being = f"; {one.sealing} is being sealed" if one.sealing else ""
    in_redis = (
        f"{one.first_in_redis} to {one.log_end} ({one.log_end - one.first_in_redis + 1} events)"
        if one.first_in_redis
        else "nothing"
    )
    head = (
        f"{one.signed} events, {_ago(one.signed_seconds_ago)}, root {one.root}"
        if one.signed >= 0
        else "none yet"
    )
    least = one.bounds[0]
    reason = _REASONS.get(least.why, "it has not read further")
    if least.why.startswith("hold "):
        reason = "a legal hold is on what follows (TRITON_HOLD_EVENTS)"
    if not one.declared:
        reason += "; reckoned with this shell's settings, for no archiver has said its own"
    return [
        f"partition {one.partition}, epoch {one.epoch}",
        f"  log       ends at {one.log_end}; in Redis: {in_redis}",
        f"  segments  {one.segments} with {one.events} events, {one.bytes} bytes{each}{being}",
        *((f"  expired   1 to {one.expired}",) if one.expired else ()),
        f"  sealed    up to {one.sealed}, {_ago(one.sealed_seconds_ago)}; "
        f"{one.unsealed} events are not sealed yet",
        f"  head      {head}",
        *_standing_still(one),
        f"  trim      up to {max(0, least.position)} may leave Redis; held by {least.why}: {reason}",
    ]


def _standing_still(one: ArchiveStatus) -> list[str]:
    if one.forked:
        return [f"  archiver  stands still: {one.forked}; see `triton log status`"]
    return [] if one.working else ["  archiver  none works: does `triton archiver` run?"]


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s ago"
