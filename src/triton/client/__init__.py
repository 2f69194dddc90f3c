"""The Python client of Triton's API: submit, read and follow jobs, from programs that run no part of Triton.

    from triton.client import Client

    with Client("http://127.0.0.1:8000", api_key="...") as triton:
        job = triton.submit("mail.send", kwargs={"to": 7}, idempotency_key="mail-7")
        for event in triton.subscribe(job.id):
            print(event.type, event.data)

`AsyncClient` is the same for asyncio. Errors are those of `triton.errors`, with the API's `code`, `message`,
`details` and `request_id`. What it needs is httpx and msgspec; it imports no driver and no framework.
"""

from triton.client.async_subscription import AsyncSubscription
from triton.client.asynchronous import AsyncClient
from triton.client.following import State
from triton.client.sse import Message
from triton.client.subscription import Subscription
from triton.client.synchronous import Client
from triton.client.targets import Filters
from triton.client.views import (
    Call,
    Document,
    Event,
    Job,
    JobPage,
    Receipt,
    Receipts,
    Refusal,
    Submitted,
)

__all__ = [
    "AsyncClient",
    "AsyncSubscription",
    "Call",
    "Client",
    "Document",
    "Event",
    "Filters",
    "Job",
    "JobPage",
    "Message",
    "Receipt",
    "Receipts",
    "Refusal",
    "State",
    "Submitted",
    "Subscription",
]
