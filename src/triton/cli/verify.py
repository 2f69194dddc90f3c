"""Owns `triton verify`: the proof that both stores equal the log."""

from triton.cli.options import Data, Json


def verify(data: Data = None, as_json: Json = False) -> None:
    """Fold the log again and compare both stores row by row; exit 1 where they differ."""
