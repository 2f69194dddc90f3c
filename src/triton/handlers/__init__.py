"""Triton's own actors. Importing this package declares them with Dramatiq's global broker.

Whoever imports it sets the broker first (`dramatiq.set_broker`). The list is explicit: a new handler is
a new line here.
"""

from triton.handlers import documents, webhooks

__all__ = ["documents", "webhooks"]
