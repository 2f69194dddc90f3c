"""Owns arbitrary events for hypothesis: every type, every field, any text that Python can encode."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from triton.events.types import (
    TYPES,
    AdministrativeData,
    Cancelled,
    CancelRequested,
    Completed,
    Due,
    Error,
    EventData,
    Failed,
    LeaseLost,
    Output,
    Progressed,
    Released,
    Requeued,
    RetryScheduled,
    Snoozed,
    Started,
    StepCompleted,
    Submitted,
)

#: Any text, NUL and characters beyond the basic plane included.
texts = st.text(max_size=40)
times = st.integers(0, 2**53)
#: What a result may be: whatever msgpack holds and gives back equal.
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
errors = st.builds(Error, type=texts, message=texts, traceback=texts)

BY_TYPE: dict[type[EventData], st.SearchStrategy[EventData]] = {
    Submitted: st.builds(
        Submitted,
        actor=texts,
        body=st.binary(max_size=300),
        priority=st.integers(-1000, 1000),
        due=times,
        window=times,
        payload=texts,
        keep=times,
    ),
    Due: st.builds(Due),
    Started: st.builds(Started, worker=texts),
    Progressed: st.builds(Progressed, percent=st.floats(allow_nan=False), stage=texts),
    Output: st.builds(Output, chunk=st.text(max_size=400)),
    StepCompleted: st.builds(StepCompleted, name=texts, result=values),
    RetryScheduled: st.builds(
        RetryScheduled, error=errors, due=times, retries=st.integers(0, 2**31)
    ),
    Snoozed: st.builds(Snoozed, due=times, reason=texts),
    Released: st.builds(Released, reason=texts),
    LeaseLost: st.builds(LeaseLost, worker=texts, deaths=st.integers(0, 2**31)),
    CancelRequested: st.builds(CancelRequested, reason=texts),
    Completed: st.builds(Completed, result=values, omitted=texts),
    Failed: st.builds(Failed, error=errors, reason=texts),
    Cancelled: st.builds(Cancelled, reason=texts),
    Requeued: st.builds(Requeued, reason=texts),
}
#: Administrative events hold texts and numbers only.
_BY_ANNOTATION: dict[object, st.SearchStrategy[object]] = {
    str: texts,
    int: times,
    int | None: st.none() | times,
    float | None: st.none() | st.floats(allow_nan=False),
    list[str]: st.lists(texts, max_size=4),
    dict[str, str]: st.dictionaries(texts, texts, max_size=4),
}
for _cls in AdministrativeData.__args__:
    BY_TYPE[_cls] = st.builds(
        _cls, **{field.name: _BY_ANNOTATION[field.type] for field in msgspec.structs.fields(_cls)}
    )
assert set(BY_TYPE) == set(TYPES.values()), "an event type has no strategy"

events_data = st.one_of(*BY_TYPE.values())
