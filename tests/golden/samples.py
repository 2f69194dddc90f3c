"""Owns the events that golden files are made of: at least one of every type, with every field in use."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from triton.events.types import (
    ApiKeyMade,
    ApiKeyRevoked,
    AuditRead,
    Cancelled,
    CancelRequested,
    Completed,
    Due,
    Error,
    EventData,
    Failed,
    HoldLifted,
    HoldPlaced,
    KeyRotated,
    LeaseLost,
    LoginAccepted,
    LoginBlocked,
    LoginRefused,
    OrganizationAdded,
    OrganizationChanged,
    Output,
    Progressed,
    QueueDrained,
    QueuePaused,
    QueueResumed,
    QuotaSet,
    RecordChanged,
    Released,
    Requeued,
    RetentionSet,
    RetryScheduled,
    SegmentExpired,
    SessionEnded,
    Snoozed,
    Started,
    StepCompleted,
    StreamTokenMade,
    StreamTokenRevoked,
    SubjectErased,
    Submitted,
    TokenKeyMade,
    UserAdded,
    UserChanged,
)

_ERROR: Final = Error(type="ValueError", message="nö ☃ 😀", traceback="line 1\nline 2\x00")
_RESULT: Final = {"pages": 3, "ratio": 0.5, "titles": ["a", "ü"], "none": None, "big": 2**63}

SAMPLES: Final[tuple[EventData, ...]] = (
    Submitted(actor="act", body=b'{"args":[]}'),
    Submitted(actor="äct", body=b"\x00\xff\x80" * 100, priority=-1000, due=1767225600000001),
    Submitted(
        actor="act", body=b"{}", expires=1767225660000000, unique="0f343b0931126a20f133d67c2b018a3b"
    ),
    Submitted(actor="act", body=b"{}", unique="0f", window=86400000, payload="9a0b", keep=3600000),
    Due(),
    Started(worker="w-1"),
    Progressed(percent=0.0),
    Progressed(percent=33.333333333333336, stage="pages ☃"),
    Output(chunk=""),
    Output(chunk="line\n\x00😀" * 50),
    StepCompleted(name="fetch"),
    StepCompleted(name="größe", result=_RESULT),
    RetryScheduled(error=Error(type="TimeoutError")),
    RetryScheduled(error=_ERROR, due=1767225601500000, retries=7),
    Snoozed(),
    Snoozed(due=1767225601500000, reason="the quota is used up"),
    Released(),
    Released(reason="the worker stopped"),
    LeaseLost(worker="w-1", deaths=1),
    CancelRequested(),
    CancelRequested(reason="nicht mehr nötig"),
    Completed(),
    Completed(result=_RESULT),
    Completed(omitted="512 kB, at most 64 kB are kept"),
    Failed(error=_ERROR),
    Failed(error=Error(type="WorkerDied", message="4 leases lost"), reason="died"),
    Cancelled(),
    Cancelled(reason="r" * 300),
    Requeued(),
    Requeued(reason="the bug is mended"),
    QueuePaused(queue="mail"),
    QueuePaused(queue="süß", reason="the upstream is away"),
    QueueDrained(queue="mail", reason="it moves"),
    QueueResumed(queue="mail", reason="it is back"),
    AuditRead(what="at"),
    AuditRead(what="export", filter={"tenant": "acme", "since": "2026-01-01"}, reason="case 7 ☃"),
    HoldPlaced(hold="h-1", scope="tenant", value="acme", reason="case 7"),
    HoldLifted(hold="h-1", scope="tenant", value="acme", reason="settled"),
    RetentionSet(),
    RetentionSet(tenant="acme", queue="mail", days=400, before=0, reason="the law"),
    SegmentExpired(
        partition=0,
        epoch="e",
        first=1,
        last=9,
        key="k",
        sha256="ab",
        root="cd",
        events=9,
        manifest="ef",
        leaves="01",
        reason="30 days",
    ),
    SubjectErased(subject="5f2c", tenant="acme", reason="article 17"),
    QuotaSet(),
    QuotaSet(
        jobs_per_second=0.5, max_pending=7, max_stored_bytes=2**40, max_streams=0, reason="the plan"
    ),
    RecordChanged(
        kind="prompt", record="0192f0c1", change="updated", version=2, sha256="ab", reason="clearer"
    ),
    UserAdded(user="0192f0c1", role="developer", reason="a new colleague"),
    UserChanged(user="0192f0c1", change="role", value="viewer", before="developer", reason="moved"),
    OrganizationAdded(organization="acme", reason="signed"),
    OrganizationChanged(organization="acme", change="disabled", reason="left"),
    LoginAccepted(user="0192f0c1", session="0192f0c2", network="192.0.2.0/24"),
    LoginRefused(why="unknown", network="2001:db8::/48"),
    LoginRefused(why="password", user="0192f0c1", network="192.0.2.0/24"),
    LoginBlocked(of="account", seconds=900, user="0192f0c1", network="192.0.2.0/24"),
    SessionEnded(user="0192f0c1", session="0192f0c2", why="reuse", network="192.0.2.0/24"),
    ApiKeyMade(
        prefix="7i5agitqnaxw",
        role="developer",
        scopes=["jobs.submit"],
        owner="0192f0c1",
        expires=1767225600000000,
        reason="the importer",
    ),
    ApiKeyMade(prefix="7i5agitqnaxw", role="admin"),
    ApiKeyRevoked(prefix="7i5agitqnaxw", owner="0192f0c1", reason="it was in a screenshot"),
    StreamTokenMade(
        token="9f2c51d0a7b34e68",
        expires=1_767_225_600_000_000,
        jobs=["order-7"],
        types=["job.completed"],
        session="0192f0c2",
    ),
    StreamTokenMade(token="1b7d", expires=1_767_225_600_000_000, batches=["b"]),
    StreamTokenRevoked(token="9f2c51d0a7b34e68"),
    TokenKeyMade(key="1767225600-a1b2c3d4", algorithm="EdDSA", reason="a year has passed"),
    KeyRotated(previous="01ab", key="02cd", size=41, reason="a year has passed"),
)

#: Data as the server's scripts made it: patched (`due` at the end) or written by them alone.
BY_SCRIPTS: Final = {
    "job.submitted": (
        "84a56163746f72a3616374a4626f6479c40600626f6479ffa87072696f72697479fea3647565cf0006474846372360",
    ),
    "job.retry_scheduled": (
        "83a56572726f7282a474797065aa56616c75654572726f72a76d657373616765a26e6fa77265747269657301"
        "a3647565cf000647484637236a",
    ),
    "job.snoozed": ("82a6726561736f6ea56c61746572a3647565cf00064748463ec48a",),
    "job.lease_lost": ("82a6776f726b6572a27731a664656174687302",),
    "job.failed": (
        "82a6726561736f6ea464696564a56572726f7282a474797065aa576f726b657244696564a76d657373616765"
        "d92432206c6561736573206c6f73742c20746865206c61737420627920776f726b6572207731",
    ),
    "job.cancelled": ("81a6726561736f6ea9c3bc6e77616e746564",),
}


def plain(data: EventData) -> dict[str, Any]:
    """Every field of an event as JSON can hold it, defaults too; bytes in base64."""
    shown = msgspec.to_builtins(msgspec.structs.asdict(data))
    error = getattr(data, "error", None)
    return shown if error is None else {**shown, "error": msgspec.structs.asdict(error)}
