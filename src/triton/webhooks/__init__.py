"""Webhooks: signed requests that submit jobs, and job events that are sent as signed requests."""

from typing import Final

#: What delivers an event to a target, and where its jobs wait: of these nobody is told.
ACTOR: Final = "webhooks.deliver"
QUEUE: Final = "triton.webhooks"
