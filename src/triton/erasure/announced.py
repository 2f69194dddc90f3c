"""Owns sealing for who submits by name only: by what the actors' workers announced of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triton.erasure.keyring import Keyring
from triton.erasure.marks import declared_marks
from triton.erasure.messages import Declared, Sealing
from triton.signature import Signature


def sealing_for(
    keyring: Keyring, actors: Mapping[str, tuple[Signature | None, Mapping[str, Any]]]
) -> Sealing | None:
    """What seals messages of these actors (signature and announced options); None where none marks anything.

    Raises ConfigurationError for marks that a newer Triton announced otherwise: nothing goes out unsealed.
    """
    known = {
        name: Declared(marks, signature)
        for name, (signature, options) in actors.items()
        if (marks := declared_marks(options, name)) is not None
    }
    if not known:
        return None
    return Sealing(keyring, lambda name: known.get(name, Declared()))
