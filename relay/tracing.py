"""Traces, where they are asked for: one a message, from its submission through every attempt.

OpenTelemetry (the extra `tracing`) makes and sends them; without it, or with tracing off, each call
here returns at once. A message's context travels in its deliveries as a `traceparent` (W3C Trace
Context, section 3.2), so that a worker's attempts belong to the trace that reception began. An
attempt is told when it is over, with its times, for a worker has hundreds under way on one loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from relay.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

Value = str | int | float
#: Seconds that spans have to be sent, being said again included; and the last ones at the end.
_SENDING, _FAREWELL = 2.0, 4.0
_MISSING = (
    "tracing.enabled: OpenTelemetry is not installed: pip install 'relay-mta[tracing]', or set it "
    "to false"
)

_provider: TracerProvider | None = None
_tracer: Tracer | None = None


def start(role: str, endpoint: str, ratio: float) -> None:
    """Send traces of this share of messages to an OTLP endpoint. Raises ConfigError."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError:
        raise ConfigError([_MISSING]) from None
    provider = TracerProvider(
        shutdown_on_exit=False,
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource.create({"service.name": "relay", "service.instance.role": role}),
    )
    # In a thread of its own, of bounded memory: what cannot be sent in time is dropped.
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_SENDING))
    )
    use(provider)


def use(provider: TracerProvider | None) -> None:
    """Have spans made by this provider, or none."""
    global _provider, _tracer
    _provider = provider
    _tracer = provider.get_tracer("relay") if provider is not None else None


def close() -> None:
    """Send what waits, for four seconds at most, and make no more."""
    if _provider is not None:
        # The exporter would try for longer; nothing of a trace is worth a process that hangs.
        ending = threading.Thread(target=_provider.shutdown, daemon=True)
        ending.start()
        ending.join(_FAREWELL)
    use(None)


class Answer(Protocol):
    """What a submission is answered with."""

    @property
    def id(self) -> str:
        """The message's id."""

    @property
    def repeated(self) -> bool:
        """It was accepted before."""


A = TypeVar("A", bound=Answer)


class Submission:
    """The span of a submission, from now until `end`; `context` goes into its deliveries."""

    __slots__ = ("_span", "context")

    def __init__(self, span: Span | None = None, context: str = "") -> None:
        self._span = span
        self.context = context

    def answered(self, answer: asyncio.Future[A]) -> None:
        """The submission's answer is there: the span ends, and says what it was."""
        if answer.cancelled():
            self.end(result="cancelled")
        elif (failure := answer.exception()) is not None:
            self.end(result=type(failure).__name__)
        else:
            done = answer.result()
            self.end(result="repeated" if done.repeated else "accepted", message=done.id)

    def end(self, **attributes: str) -> None:
        """It is over."""
        if self._span is not None:
            for name, value in attributes.items():
                self._span.set_attribute(f"relay.{name}", value)
            self._span.end()


_NONE = Submission()


def submission(message: str, *, parent: str = "", **attributes: Value) -> Submission:
    """Begin the trace of a message, as part of the one that `parent` is of where there is one."""
    if _tracer is None:
        return _NONE
    span = _tracer.start_span(
        "submit", context=_context(parent), attributes={"relay.message": message, **attributes}
    )
    return Submission(span, _traceparent(span)) if span.is_recording() else _NONE


def attempt(context: str, seconds: float, name: str, attributes: Mapping[str, Value]) -> None:
    """Tell of an attempt that took so long and is over now; `context` is its delivery's."""
    if _tracer is None or not context:
        return
    ended = time.time_ns()
    span = _tracer.start_span(
        name,
        context=_context(context),
        start_time=ended - round(seconds * 1e9),
        attributes=attributes,
    )
    span.end(ended)


def _context(parent: str) -> Context:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent} if parent else {})


def _traceparent(span: Span) -> str:
    found = span.get_span_context()
    flags = int(found.trace_flags)
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{flags:02x}"
