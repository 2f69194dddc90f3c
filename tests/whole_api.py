"""Owns the application that tests look through and never run: its routes and document are dear to make."""

from __future__ import annotations

from functools import cache

from fastapi import FastAPI

from triton.api.app import create_app
from triton.settings import Settings


@cache
def whole_api() -> FastAPI:
    """With every route, and its document as `openapi()`. It is not to be changed."""
    return create_app(Settings())
