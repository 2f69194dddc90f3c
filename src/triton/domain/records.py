"""Owns what the domain's records hold: for each kind what a client writes, and what it reads. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

#: PostgreSQL takes no U+0000.
_NO_NUL = r"^[^\x00]*$"
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NO_NUL)]
Line: TypeAlias = Annotated[str, Meta(max_length=200, pattern=_NO_NUL)]
Text: TypeAlias = Annotated[str, Meta(max_length=20_000, pattern=_NO_NUL)]
Email: TypeAlias = Annotated[str, Meta(max_length=320, pattern=r"^([^@\s\x00]+@[^@\s\x00]+)?$")]
Link: TypeAlias = Annotated[str, Meta(max_length=2000, pattern=r"^(https?://[^\s\x00]+)?$")]
#: An amount as a text, so that no digit is lost on the way.
Amount: TypeAlias = Annotated[str, Meta(max_length=17, pattern=r"^-?[0-9]{1,13}(\.[0-9]{1,2})?$")]
Cost: TypeAlias = Annotated[str, Meta(max_length=17, pattern=r"^[0-9]{1,13}(\.[0-9]{1,2})?$")]
Price: TypeAlias = Annotated[str, Meta(max_length=13, pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?$")]
Currency: TypeAlias = Annotated[str, Meta(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$")]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Object: TypeAlias = dict[str, Any]

ClientStatus: TypeAlias = Literal["active", "paused", "closed"]
PropositionStatus: TypeAlias = Literal["draft", "review", "approved", "archived"]
TemplateStatus: TypeAlias = Literal["draft", "published", "archived"]
Stage: TypeAlias = Literal["new", "qualified", "proposal", "won", "lost"]
PromptStatus: TypeAlias = Literal["draft", "active", "retired"]
ModelStatus: TypeAlias = Literal["active", "retired"]


class Write(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a client says of a record; what it leaves out is the default."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What every record has, and an entry of a history has alone. `version` is in the ETag."""

    id: UUID
    tenant: str
    version: int
    created_at: datetime
    created_by: str


class Record(Entry, frozen=True, kw_only=True):
    """What every record has that can be changed. `version` rises by one with every change."""

    updated_at: datetime
    updated_by: str


class ClientWrite(Write, frozen=True):
    """A client of the tenant; its name is unique."""

    name: Name
    industry: Line = ""
    website: Link = ""
    contact_email: Email = ""
    status: ClientStatus = "active"
    attributes: Object = {}


class Client(Record, frozen=True):
    """A client of the tenant."""

    name: str
    industry: str
    website: str
    contact_email: str
    status: ClientStatus
    attributes: Object


class ValuePropositionWrite(Write, frozen=True):
    """What a client is offered, and why it is worth it."""

    client: UUID
    title: Name
    summary: Text = ""
    points: Annotated[list[Text], Meta(max_length=200)] = []
    status: PropositionStatus = "draft"


class ValueProposition(Record, frozen=True):
    """What a client is offered, and why it is worth it."""

    client: UUID
    title: str
    summary: str
    points: list[str]
    status: PropositionStatus


class DashboardTemplateWrite(Write, frozen=True):
    """How a dashboard is laid out; its name is unique."""

    name: Name
    description: Text = ""
    audience: Line = ""
    layout: Object = {}
    status: TemplateStatus = "draft"


class DashboardTemplate(Record, frozen=True):
    """How a dashboard is laid out."""

    name: str
    description: str
    audience: str
    layout: Object
    status: TemplateStatus


class ProspectWrite(Write, frozen=True):
    """Somebody whom a client would win. `members` are covered lives."""

    client: UUID
    name: Name
    template: UUID | None = None
    contact_email: Email = ""
    stage: Stage = "new"
    members: Count | None = None
    attributes: Object = {}


class Prospect(Record, frozen=True):
    """Somebody whom a client would win. `members` are covered lives."""

    client: UUID
    name: str
    template: UUID | None
    contact_email: str
    stage: Stage
    members: int | None
    attributes: Object


class RoiModelWrite(Write, frozen=True):
    """What an investment brings. Amounts are texts like `1250.00`."""

    client: UUID
    name: Name
    investment: Cost
    annual_benefit: Amount
    prospect: UUID | None = None
    currency: Currency = "USD"
    horizon_months: Annotated[int, Meta(ge=1, le=600)] = 12
    assumptions: Object = {}


class RoiModel(Record, frozen=True):
    """What an investment brings. `roi_percent` is of the investment over the horizon; null where nothing is
    invested."""

    client: UUID
    name: str
    prospect: UUID | None
    currency: str
    investment: str
    annual_benefit: str
    horizon_months: int
    roi_percent: str | None
    assumptions: Object


class PromptWrite(Write, frozen=True):
    """A prompt; its name is unique. Every edit makes a version, and no version ever changes."""

    name: Name
    template: Annotated[str, Meta(min_length=1, max_length=100_000, pattern=_NO_NUL)]
    description: Text = ""
    variables: Annotated[list[Name], Meta(max_length=200)] = []
    status: PromptStatus = "draft"


class Prompt(Record, frozen=True):
    """A prompt as it stands."""

    name: str
    template: str
    description: str
    variables: list[str]
    status: PromptStatus


class PromptVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt as it was from `created_at` on."""

    prompt: UUID
    tenant: str
    version: int
    name: str
    template: str
    description: str
    variables: list[str]
    status: PromptStatus
    created_at: datetime
    created_by: str


class ModelWrite(Write, frozen=True):
    """A language model; its name is unique. `identifier` is the provider's own name of it, prices are US
    dollars of a million tokens."""

    name: Name
    provider: Name
    identifier: Name
    context_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    parameters: Object = {}
    input_price: Price | None = None
    output_price: Price | None = None
    status: ModelStatus = "active"


class Model(Record, frozen=True):
    """A language model. Prices are US dollars of a million tokens."""

    name: str
    provider: str
    identifier: str
    context_tokens: int | None
    parameters: Object
    input_price: str | None
    output_price: str | None
    status: ModelStatus


class PromptVersions(msgspec.Struct, frozen=True, kw_only=True):
    """All versions of a prompt, the newest first."""

    items: list[PromptVersion]
