"""Owns what a tenant says of its webhooks: sources that submit jobs, targets that hear of events. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, TypeAlias, get_args
from uuid import UUID

import msgspec
from msgspec import Meta

from triton.domain.kinds import Kind
from triton.domain.records import Name, Record, Write
from triton.events.types import JobData

#: No user and no password: everybody who may read targets would read them.
Url: TypeAlias = Annotated[
    str, Meta(max_length=2000, pattern=r"^https?://[^\s\x00/@?#]+([/?#][^\s\x00]*)?$")
]
#: Types that can be sent.
TYPES: Final = tuple(str(one.__struct_config__.tag) for one in get_args(JobData))
EventType: TypeAlias = Annotated[
    str, Meta(pattern="^(" + "|".join(TYPES).replace(".", r"\.") + ")$")
]


class WebhookSourceWrite(Write, frozen=True):
    """Who may submit jobs of one actor by signed requests. The request's JSON is the keyword argument
    `argument`; without a queue it is the one that the actor's workers declared."""

    name: Name
    actor: Name
    queue: Name | None = None
    argument: Annotated[str, Meta(max_length=100, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "payload"
    enabled: bool = True


class WebhookSource(Record, frozen=True):
    """Who may submit jobs of one actor by signed requests."""

    name: str
    actor: str
    queue: str | None
    argument: str
    enabled: bool


class WebhookTargetWrite(Write, frozen=True):
    """Where job events are sent; without an actor or a queue: of all jobs."""

    name: Name
    url: Url
    events: Annotated[list[EventType], Meta(min_length=1, max_length=50)]
    actor: Name | None = None
    queue: Name | None = None
    enabled: bool = True


class WebhookTarget(Record, frozen=True):
    """Where job events are sent."""

    name: str
    url: str
    events: list[str]
    actor: str | None
    queue: str | None
    enabled: bool


class WebhookSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret, which is shown this once. The one before holds no more."""

    secret: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to deliver an event: `status` is what the target answered, null where it did not."""

    event: str
    job: str
    attempt: int
    at: datetime
    delivered: bool
    status: int | None
    error: str
    duration_ms: int


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest attempts."""

    items: list[Delivery]


SOURCES: Final = Kind(
    name="webhook_source",
    path="webhook-sources",
    said="a webhook source",
    write=WebhookSourceWrite,
    read=WebhookSource,
    filters=("name", "actor"),
    example={"name": "the shop", "actor": "orders.import"},
)
TARGETS: Final = Kind(
    name="webhook_target",
    path="webhook-targets",
    said="a webhook target",
    write=WebhookTargetWrite,
    read=WebhookTarget,
    filters=("name",),
    example={"name": "our ERP", "url": "https://erp.example.com/hooks", "events": ["job.failed"]},
)


def secret_name(kind: Kind, record: UUID) -> str:
    """What its secret is called among the tenant's secrets."""
    return f"{kind.name.replace('_', '-')}.{record}"
