"""The facts: what an event is, how it is stored, and the only doors to the log."""

from triton.events.envelope import Event
from triton.events.types import EventData

__all__ = ["Event", "EventData"]
