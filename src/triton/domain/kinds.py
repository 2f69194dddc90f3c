"""Owns which kinds of records there are, and how each lies in PostgreSQL. Pure."""

from __future__ import annotations

from functools import cached_property
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin

import msgspec

from triton.domain import records, run_records

#: What is said of every kind's page.
_PAGE: Final = "A page, newest first. `next` goes into the next request; null on the last page."
#: An id in the examples.
_SOME: Final = "0192f0c1-7a0e-7000-8000-000000000001"
_OTHER: Final = "0192f0c1-7a0e-7000-8000-000000000002"


class Kind(msgspec.Struct, frozen=True, kw_only=True, dict=True, eq=False):
    """One kind of record. `name` is what an event calls it, `path` where the API has it."""

    name: str
    path: str
    #: As people say it, with its article.
    said: str
    write: type[records.Write]
    read: type[records.Entry]
    #: Fields that a list can be filtered by.
    filters: tuple[str, ...]
    example: dict[str, Any]
    #: The field that tells records of one tenant apart.
    unique: str = "name"
    #: Is added to, and never changed.
    history: bool = False

    @property
    def table(self) -> str:
        return self.path.replace("-", "_")

    @cached_property
    def page(self) -> type[msgspec.Struct]:
        """What a list answers: `items`, the newest first, and what `next` goes into the next request."""
        made = msgspec.defstruct(
            f"{self.read.__name__}Page",
            [("items", list[self.read]), ("next", str | None)],  # type: ignore[name-defined]
            frozen=True,
            kw_only=True,
        )
        made.__doc__ = _PAGE
        return made

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
            if _shape(field.type) in (dict, list, Any)
        )

    @cached_property
    def optional(self) -> frozenset[str]:
        """Those of them that may be missing, which is not the same as JSON's null."""
        return frozenset(
            field.name for field in msgspec.structs.fields(self.write) if field.default is None
        )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All columns of a row."""
        return tuple(field.name for field in msgspec.structs.fields(self.read))


def _shape(kind: Any) -> Any:
    """`list` for Annotated[list[str], ...] and for list[str] | None; Any for itself."""
    while get_origin(kind) is not None and hasattr(kind, "__metadata__"):
        kind = get_args(kind)[0]
    if get_origin(kind) is UnionType:
        return next((_shape(one) for one in get_args(kind) if one is not NoneType), None)
    return kind if kind is Any else get_origin(kind)


CLIENTS: Final = Kind(
    name="client",
    path="clients",
    said="a client",
    write=records.ClientWrite,
    read=records.Client,
    filters=("name", "status", "industry"),
    example={"name": "Northwind Health", "industry": "health plan"},
)
VALUE_PROPOSITIONS: Final = Kind(
    name="value_proposition",
    path="value-propositions",
    said="a value proposition",
    write=records.ValuePropositionWrite,
    read=records.ValueProposition,
    filters=("client", "status"),
    example={
        "client": _SOME,
        "title": "Fewer avoidable admissions",
        "points": ["Outreach within 48 hours of discharge"],
    },
)
DASHBOARD_TEMPLATES: Final = Kind(
    name="dashboard_template",
    path="dashboard-templates",
    said="a dashboard template",
    write=records.DashboardTemplateWrite,
    read=records.DashboardTemplate,
    filters=("name", "status", "audience"),
    example={"name": "Cost overview", "layout": {"rows": [["pmpm", "top_diagnoses"]]}},
)
PROSPECTS: Final = Kind(
    name="prospect",
    path="prospects",
    said="a prospect",
    write=records.ProspectWrite,
    read=records.Prospect,
    filters=("client", "template", "stage", "name"),
    example={
        "client": _SOME,
        "name": "City of Springfield",
        "members": 12000,
    },
)
ROI_MODELS: Final = Kind(
    name="roi_model",
    path="roi-models",
    said="a ROI model",
    write=records.RoiModelWrite,
    read=records.RoiModel,
    filters=("client", "prospect", "name"),
    example={
        "client": _SOME,
        "name": "Base case",
        "investment": "250000.00",
        "annual_benefit": "410000.00",
        "horizon_months": 36,
    },
)
PROMPTS: Final = Kind(
    name="prompt",
    path="prompts",
    said="a prompt",
    write=records.PromptWrite,
    read=records.Prompt,
    filters=("name", "status"),
    example={"name": "summary", "template": "Summarize {document}.", "variables": ["document"]},
)
MODELS: Final = Kind(
    name="model",
    path="models",
    said="a model",
    write=records.ModelWrite,
    read=records.Model,
    filters=("name", "provider", "status"),
    example={"name": "default", "provider": "example", "identifier": "example-1"},
)

EXECUTIONS: Final = Kind(
    name="execution",
    path="executions",
    said="an execution",
    write=run_records.ExecutionWrite,
    read=run_records.Execution,
    filters=("prompt", "model", "status", "job"),
    example={
        "prompt": _SOME,
        "prompt_version": 1,
        "model": _OTHER,
        "status": "succeeded",
        "input": {"document": "a contract"},
        "output": {"text": "A contract."},
        "input_tokens": 900,
        "output_tokens": 120,
        "cost": "0.001",
        "started_at": "2026-01-31T12:00:00Z",
        "finished_at": "2026-01-31T12:00:02Z",
    },
)
EVALUATIONS: Final = Kind(
    name="evaluation",
    path="evaluations",
    said="an evaluation",
    write=run_records.EvaluationWrite,
    read=run_records.Evaluation,
    filters=("execution", "metric", "evaluator"),
    example={
        "execution": _SOME,
        "metric": "faithfulness",
        "score": 0.9,
        "evaluator": "review",
    },
    unique="metric",
)
ENHANCEMENTS: Final = Kind(
    name="enhancement",
    path="enhancement-history",
    said="an enhancement",
    write=run_records.EnhancementWrite,
    read=run_records.Enhancement,
    filters=("resource", "resource_id", "execution"),
    example={
        "resource": "value_proposition",
        "resource_id": _SOME,
        "field": "summary",
        "before": "Reach members.",
        "after": "Reach members within 48 hours.",
        "instruction": "Say when.",
    },
    history=True,
)

KINDS: Final = (
    CLIENTS,
    VALUE_PROPOSITIONS,
    DASHBOARD_TEMPLATES,
    PROSPECTS,
    ROI_MODELS,
    PROMPTS,
    MODELS,
    EXECUTIONS,
    EVALUATIONS,
    ENHANCEMENTS,
)
