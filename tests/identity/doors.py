"""Owns how tests walk through every route of an application, and what they call it with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from triton.api.access import demanded_by
from triton.identity.permissions import Permission

#: Makes a key of a role and answers its text.
MakeKey = Callable[..., str]
#: What FastAPI itself adds, for documentation.
DOCUMENTATION = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/docs-assets"}


class Door(NamedTuple):
    method: str
    path: str
    permissions: set[Permission]
    public: bool

    @property
    def url(self) -> str:
        """The path with something in each place that nothing has for a name."""
        return re.sub(r"\{[^}]+\}", "00000000-0000-0000-0000-000000000000", self.path)


def doors(app: FastAPI) -> Iterator[Door]:
    """Every route of the application but its documentation."""
    for context in iter_route_contexts(app.routes):
        path = str(context.path)
        if path in DOCUMENTATION:
            continue
        assert isinstance(context.original_route, APIRoute), f"{path} is no route of FastAPI's"
        permissions, public = demanded_by(context.dependant)
        for method in sorted(context.methods or ()):
            if method != "HEAD":
                yield Door(method, path, permissions, public)


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}
