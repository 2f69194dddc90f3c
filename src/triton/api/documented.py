"""Owns which Structs are on the wire as JSON, and so have a schema in the OpenAPI document."""

from __future__ import annotations

from typing import Final

import msgspec

from triton.api.batches import EventBatch
from triton.api.bulk import BulkCall, BulkReply
from triton.api.dead_letters import DeadLetterCounts, DeadLetterPage
from triton.api.queues import QueueList, QueueView, WorkerList
from triton.api.quotas import QuotaUse
from triton.api.routes import (
    dashboards,
    documents,
    domain,
    events,
    health,
    jobs,
    prompt_versions,
    root,
    stream_tokens,
    tenant,
    tenant_settings,
    users,
    webhooks,
    well_known,
)
from triton.api.selection import Acted, DryRun, SelectionRequest
from triton.api.submission import GivenReason, ReasonRequest, SubmitReply, SubmitRequest
from triton.audit.differences import Difference
from triton.audit.timeline import JobAt, JobsAt
from triton.audit.why import Why
from triton.events.render import EventView
from triton.explain import Explanation
from triton.identity.sessions import Pair
from triton.identity.views import KeyMade, KeyPage, KeyWrite, Login, Me, PasswordChange, Refresh
from triton.job_view import JobView

WIRE: Final[list[type[msgspec.Struct]]] = [
    # Jobs, and what is done to them.
    SubmitRequest,
    SubmitReply,
    BulkCall,
    BulkReply,
    JobView,
    jobs.JobPage,
    SelectionRequest,
    Acted,
    DryRun,
    ReasonRequest,
    GivenReason,
    Explanation,
    # What happened, and what happens.
    EventView,
    EventBatch,
    events.EventPage,
    stream_tokens.StreamTokenRequest,
    stream_tokens.StreamTokenReply,
    # Queues and documents.
    QueueList,
    QueueView,
    WorkerList,
    DeadLetterCounts,
    DeadLetterPage,
    *documents.WIRE,
    # Proof.
    JobAt,
    JobsAt,
    Difference,
    Why,
    # Tenants, and what they keep.
    QuotaUse,
    tenant.QuotaWrite,
    *tenant_settings.WIRE,
    *domain.WIRE,
    *prompt_versions.WIRE,
    *dashboards.WIRE,
    *webhooks.WIRE,
    # Who may do what.
    Login,
    Pair,
    Refresh,
    Me,
    PasswordChange,
    *users.WIRE,
    KeyWrite,
    KeyMade,
    KeyPage,
    # The service itself.
    root.Service,
    health.Health,
    health.Readiness,
    well_known.KeySet,
]
