"""Owns the actors of the documents' programs, for the workers of the tests' stack."""

from __future__ import annotations

from doc_blocks import actors

for _name, _text in actors().items():
    exec(compile(_text, _name, "exec"), {"__name__": _name.removesuffix(".py")})
