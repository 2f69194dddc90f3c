"""Owns what is kept of running prompts: executions, how good they were, which texts they made. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from triton.domain.records import Count, Entry, Line, Name, Object, Record, Text, Write

#: A cost in US dollars, as a text so that no digit is lost.
Dollars: TypeAlias = Annotated[str, Meta(max_length=15, pattern=r"^[0-9]{1,8}(\.[0-9]{1,6})?$")]
Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
ExecutionStatus: TypeAlias = Literal["running", "succeeded", "failed"]
Enhanced: TypeAlias = Literal[
    "value_proposition", "prospect", "roi_model", "dashboard_template", "prompt"
]


class ExecutionWrite(Write, frozen=True):
    """One run of a version of a prompt by a model. `finished_at` is null while it runs, and only then."""

    prompt: UUID
    prompt_version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    model: UUID
    status: ExecutionStatus
    started_at: Moment
    finished_at: Moment | None = None
    #: The job that ran it.
    job: Line = ""
    input: Object = msgspec.field(default_factory=dict)
    output: Object | None = None
    error: Text = ""
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost: Dollars | None = None


class Execution(Record, frozen=True):
    """One run of a version of a prompt by a model. `cost` is in US dollars."""

    prompt: UUID
    prompt_version: int
    model: UUID
    status: ExecutionStatus
    started_at: datetime
    finished_at: datetime | None
    job: str
    input: Any
    output: Any
    error: str
    input_tokens: int | None
    output_tokens: int | None
    cost: str | None


class EvaluationWrite(Write, frozen=True):
    """How good an execution was, from 0 to 1: one of each metric by each evaluator."""

    execution: UUID
    metric: Name
    score: Annotated[float, Meta(ge=0, le=1)]
    evaluator: Name
    passed: bool | None = None
    notes: Text = ""


class Evaluation(Record, frozen=True):
    """How good an execution was, from 0 to 1."""

    execution: UUID
    metric: str
    score: float
    evaluator: str
    passed: bool | None
    notes: str


class EnhancementWrite(Write, frozen=True):
    """What a field was before and after it was enhanced, by a model's execution or by a person."""

    resource: Enhanced
    resource_id: UUID
    field: Name
    before: Any
    after: Any
    instruction: Text = ""
    execution: UUID | None = None


class Enhancement(Entry, frozen=True):
    """What a field was before and after it was enhanced; it never changes."""

    resource: Enhanced
    resource_id: UUID
    field: str
    before: Any
    after: Any
    instruction: str
    execution: UUID | None
