"""Traces, where they are asked for: one a message, from its submission through every attempt.

OpenTelemetry (the extra `tracing`) makes and sends them; without it, or with tracing off, each call
here returns at once. A message's context travels in its deliveries as a `traceparent` (W3C Trace
Context, section 3.2), so that a worker's attempts belong to the trace that reception began. An
attempt is told when it is over, with its times, for a worker has hundreds under way on one loop.
"""

from __future__ import annotations

import asyncio
import re
import sys
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

#: Version, the fields of version 00, and what a later version may have behind them.
_TRACEPARENT = re.compile(
    r"((?!ff)[0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-[!-~]{0,200})?"
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
        # Who hands it over traces, and workers may: the context goes along.
        return Submission(None, parent) if parent and _is_sampled(parent) else _NONE
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


def context_in(text: str) -> str:
    """The context that a client's `traceparent` is, as version 00 has it; "" for anything else.

    What cannot be read is passed over (W3C Trace Context, section 3.2.2.3): the trace begins here.
    """
    found = _TRACEPARENT.fullmatch(text.strip())
    return f"00-{found[2]}" if found and (found[1] != "00" or not found[3]) else ""


def current() -> str:
    """The context of the span that the caller is in; "" where there is none."""
    # Whoever traces has imported it: nobody else is to pay for that.
    trace = sys.modules.get("opentelemetry.trace")
    span = trace.get_current_span() if trace is not None else None
    return _traceparent(span) if span is not None and span.get_span_context().is_valid else ""


def _is_sampled(context: str) -> bool:
    return bool(int(context[-2:], 16) & 1)


def _context(parent: str) -> Context:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent} if parent else {})


def _traceparent(span: Span) -> str:
    found = span.get_span_context()
    flags = int(found.trace_flags)
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{flags:02x}"
