"""Owns `triton audit`: what auditors ask of the history."""

from __future__ import annotations

import typer

from triton.cli import audit_proof

app = typer.Typer(
    no_args_is_help=True, help="The history for auditors: whether it is whole, and proofs of it."
)
audit_proof.register(app)
