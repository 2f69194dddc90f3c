"""Owns which kinds of records there are, and how each lies in PostgreSQL. Pure."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final, get_args, get_origin

import msgspec

from triton.domain import records


class Kind(msgspec.Struct, frozen=True, kw_only=True, dict=True, eq=False):
    """One kind of record. `name` is what an event calls it, `path` where the API has it."""

    name: str
    path: str
    table: str
    #: As people say it, with its article.
    said: str
    write: type[records.Write]
    read: type[records.Record]
    page: type[msgspec.Struct]
    #: Fields that a list can be filtered by.
    filters: tuple[str, ...]
    example: dict[str, Any]

    @cached_property
    def written(self) -> tuple[str, ...]:
        """The columns that a client writes."""
        return tuple(field.name for field in msgspec.structs.fields(self.write))

    @cached_property
    def documents(self) -> frozenset[str]:
        """Those of them that are JSON."""
        return frozenset(
            field.name
            for field in msgspec.structs.fields(self.write)
            if _shape(field.type) in (dict, list)
        )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All columns of a row."""
        return tuple(field.name for field in msgspec.structs.fields(self.read))


def _shape(kind: Any) -> Any:
    """`list` for Annotated[list[str], ...]."""
    while get_origin(kind) is not None and hasattr(kind, "__metadata__"):
        kind = get_args(kind)[0]
    return get_origin(kind)


CLIENTS: Final = Kind(
    name="client",
    path="clients",
    table="clients",
    said="a client",
    write=records.ClientWrite,
    read=records.Client,
    page=records.ClientPage,
    filters=("name", "status", "industry"),
    example={"name": "Northwind Health", "industry": "health plan"},
)
VALUE_PROPOSITIONS: Final = Kind(
    name="value_proposition",
    path="value-propositions",
    table="value_propositions",
    said="a value proposition",
    write=records.ValuePropositionWrite,
    read=records.ValueProposition,
    page=records.ValuePropositionPage,
    filters=("client", "status"),
    example={
        "client": "0192f0c1-7a0e-7000-8000-000000000001",
        "title": "Fewer avoidable admissions",
        "points": ["Outreach within 48 hours of discharge"],
    },
)
DASHBOARD_TEMPLATES: Final = Kind(
    name="dashboard_template",
    path="dashboard-templates",
    table="dashboard_templates",
    said="a dashboard template",
    write=records.DashboardTemplateWrite,
    read=records.DashboardTemplate,
    page=records.DashboardTemplatePage,
    filters=("name", "status", "audience"),
    example={"name": "Cost overview", "layout": {"rows": [["pmpm", "top_diagnoses"]]}},
)
PROSPECTS: Final = Kind(
    name="prospect",
    path="prospects",
    table="prospects",
    said="a prospect",
    write=records.ProspectWrite,
    read=records.Prospect,
    page=records.ProspectPage,
    filters=("client", "template", "stage", "name"),
    example={
        "client": "0192f0c1-7a0e-7000-8000-000000000001",
        "name": "City of Springfield",
        "members": 12000,
    },
)
ROI_MODELS: Final = Kind(
    name="roi_model",
    path="roi-models",
    table="roi_models",
    said="a ROI model",
    write=records.RoiModelWrite,
    read=records.RoiModel,
    page=records.RoiModelPage,
    filters=("client", "prospect", "name"),
    example={
        "client": "0192f0c1-7a0e-7000-8000-000000000001",
        "name": "Base case",
        "investment": "250000.00",
        "annual_benefit": "410000.00",
        "horizon_months": 36,
    },
)
PROMPTS: Final = Kind(
    name="prompt",
    path="prompts",
    table="prompts",
    said="a prompt",
    write=records.PromptWrite,
    read=records.Prompt,
    page=records.PromptPage,
    filters=("name", "status"),
    example={"name": "summary", "template": "Summarize {document}.", "variables": ["document"]},
)
MODELS: Final = Kind(
    name="model",
    path="models",
    table="models",
    said="a model",
    write=records.ModelWrite,
    read=records.Model,
    page=records.ModelPage,
    filters=("name", "provider", "status"),
    example={"name": "default", "provider": "example", "identifier": "example-1"},
)

KINDS: Final = (
    CLIENTS,
    VALUE_PROPOSITIONS,
    DASHBOARD_TEMPLATES,
    PROSPECTS,
    ROI_MODELS,
    PROMPTS,
    MODELS,
)
