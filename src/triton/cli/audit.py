"""Owns `triton audit`: what auditors ask of the history."""

from __future__ import annotations

import typer

from triton.cli import audit_asking, audit_erasure, audit_export, audit_rules
from triton.cli.audit_keys import key, rotate_key
from triton.cli.audit_prove import prove
from triton.cli.audit_verify import verify

app = typer.Typer(
    no_args_is_help=True,
    help="The history for auditors: why, as of when, what changed, whether it is whole, proofs of it, and "
    "what may be erased of it.",
)
audit_asking.register(app)
audit_export.register(app)
app.command()(verify)
app.command()(prove)
app.command()(key)
app.command("rotate-key")(rotate_key)
audit_rules.register(app)
audit_erasure.register(app)
