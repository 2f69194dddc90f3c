"""Owns where a role's spans go: OpenTelemetry's SDK, set up by its own OTEL_* variables."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
)

import triton
from triton.observe.logger import get_logger
from triton.settings import Settings, traces_exporter

_log = get_logger("triton.tracing")


def install(role: str, settings: Settings) -> bool:
    """Give this process a tracer provider; False where the variables name no exporter that is known here."""
    name = traces_exporter()
    exporter: SpanExporter
    if name == "console":
        exporter = ConsoleSpanExporter()
    elif name == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter()
    else:
        _log.warning("tracing_exporter_unknown", exporter=name, known="otlp, console, none")
        return False
    provider = TracerProvider(resource=resource_of(role, settings))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _log.info("tracing_started", exporter=name)
    return True


def resource_of(role: str, settings: Settings) -> Resource:
    """What a process says of itself; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    given = Resource.create()
    named = not str(given.attributes.get(SERVICE_NAME, "unknown_service")).startswith(
        "unknown_service"
    )
    own = {
        "service.version": triton.__version__,
        "service.namespace": settings.namespace,
        "triton.role": role,
    }
    own = {name: value for name, value in own.items() if name not in given.attributes}
    if not named:
        own[SERVICE_NAME] = f"triton-{role}"
    return given.merge(Resource(own))
