"""Owns the types of the fixtures that the broker's tests share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from command import Command
from dramatiq import Worker

from triton import TritonBroker

MakeBroker = Callable[..., TritonBroker]
Run = Callable[..., AbstractContextManager[Worker]]
StartCommand = Callable[..., Command]
