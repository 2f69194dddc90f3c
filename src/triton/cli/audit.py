"""Owns `triton audit`: what auditors ask of the history."""

from __future__ import annotations

import typer

from triton.cli import audit_asking, audit_erasure, audit_export, audit_proof, audit_rules

app = typer.Typer(
    no_args_is_help=True,
    help="The history for auditors: why, as of when, what changed, whether it is whole, proofs of it, and "
    "what may be erased of it.",
)
audit_asking.register(app)
audit_export.register(app)
audit_proof.register(app)
audit_rules.register(app)
audit_erasure.register(app)
