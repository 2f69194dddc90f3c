"""Owns what a list of the domain's records can be filtered by, kind by kind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeAlias
from uuid import UUID

from triton.api.parameters import Word
from triton.domain.kinds import (
    CLIENTS,
    DASHBOARD_TEMPLATES,
    ENHANCEMENTS,
    EVALUATIONS,
    EXECUTIONS,
    MODELS,
    PROMPTS,
    PROSPECTS,
    ROI_MODELS,
    VALUE_PROPOSITIONS,
    Kind,
)
from triton.domain.records import (
    ClientStatus,
    ModelStatus,
    PromptStatus,
    PropositionStatus,
    Stage,
    TemplateStatus,
)
from triton.domain.run_records import Enhanced, ExecutionStatus

Chosen: TypeAlias = dict[str, Any]


async def of_clients(
    name: Word = None, status: ClientStatus | None = None, industry: Word = None
) -> Chosen:
    return {"name": name, "status": status, "industry": industry}


async def of_value_propositions(
    client: UUID | None = None, status: PropositionStatus | None = None
) -> Chosen:
    return {"client": client, "status": status}


async def of_dashboard_templates(
    name: Word = None, status: TemplateStatus | None = None, audience: Word = None
) -> Chosen:
    return {"name": name, "status": status, "audience": audience}


async def of_prospects(
    client: UUID | None = None,
    template: UUID | None = None,
    stage: Stage | None = None,
    name: Word = None,
) -> Chosen:
    return {"client": client, "template": template, "stage": stage, "name": name}


async def of_roi_models(
    client: UUID | None = None, prospect: UUID | None = None, name: Word = None
) -> Chosen:
    return {"client": client, "prospect": prospect, "name": name}


async def of_prompts(name: Word = None, status: PromptStatus | None = None) -> Chosen:
    return {"name": name, "status": status}


async def of_models(
    name: Word = None, provider: Word = None, status: ModelStatus | None = None
) -> Chosen:
    return {"name": name, "provider": provider, "status": status}


async def of_executions(
    prompt: UUID | None = None,
    model: UUID | None = None,
    status: ExecutionStatus | None = None,
    job: Word = None,
) -> Chosen:
    return {"prompt": prompt, "model": model, "status": status, "job": job}


async def of_evaluations(
    execution: UUID | None = None, metric: Word = None, evaluator: Word = None
) -> Chosen:
    return {"execution": execution, "metric": metric, "evaluator": evaluator}


async def of_enhancements(
    resource: Enhanced | None = None,
    resource_id: UUID | None = None,
    execution: UUID | None = None,
) -> Chosen:
    return {"resource": resource, "resource_id": resource_id, "execution": execution}


#: The dependency of each kind, which answers what was chosen.
FILTERS: Final[Mapping[Kind, Callable[..., Coroutine[Any, Any, Chosen]]]] = {
    CLIENTS: of_clients,
    VALUE_PROPOSITIONS: of_value_propositions,
    DASHBOARD_TEMPLATES: of_dashboard_templates,
    PROSPECTS: of_prospects,
    ROI_MODELS: of_roi_models,
    PROMPTS: of_prompts,
    MODELS: of_models,
    EXECUTIONS: of_executions,
    EVALUATIONS: of_evaluations,
    ENHANCEMENTS: of_enhancements,
}
