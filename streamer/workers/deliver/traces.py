"""Traces of sampled frames to an OpenTelemetry collector, by OTLP over HTTP.

The only file that imports opentelemetry, which the extra `otel` installs. A span a frame, with a child for
each part of its way; they are sent in batches by a thread of the library, which throws away what a collector
that is away does not take: traces are for looking at, and hold up nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from streamer.errors import ConfigError
from streamer.ipc.messages import FrameTrace

MISSING = "tracing: the extra otel is not installed: pip install 'streamer[otel]'"
TIMEOUT_S = 5.0  # for one request
GOODBYE_S = 1.0  # for what is left when the daemon stops
PATH = "/v1/traces"  # where collectors take them, unless the endpoint says otherwise


class Traces:
    """Of one node, to one `endpoint`. Raise ConfigError where the extra is not installed."""

    def __init__(self, endpoint: str, node: str) -> None:
        if find_spec("opentelemetry.exporter") is None or find_spec("opentelemetry.sdk") is None:
            raise ConfigError(MISSING)
        self.endpoint = endpoint
        self._provider = _provider(address_of(endpoint), node)
        self._tracer = self._provider.get_tracer("streamer", version("streamer"))

    def add(self, trace: FrameTrace) -> None:
        """Takes no time: what it makes is sent by the library's own thread."""
        from opentelemetry.trace import set_span_in_context

        begin_ns, end_ns = trace.spans[0][1], max(end for _, _, end in trace.spans)
        frame = self._tracer.start_span("frame", start_time=begin_ns, attributes=_attributes(trace))
        inside = set_span_in_context(frame)
        for name, start_ns, stop_ns in trace.spans:
            self._tracer.start_span(name, inside, start_time=start_ns).end(stop_ns)
        frame.end(end_ns)

    def close(self) -> None:
        """Send what is left, as far as that goes at once."""
        ending: Callable[[], Any] = self._provider.shutdown
        thread = threading.Thread(target=ending, name="traces", daemon=True)
        thread.start()
        thread.join(GOODBYE_S)


def address_of(endpoint: str) -> str:
    """With the usual path where `endpoint` names a server alone."""
    scheme, _, rest = endpoint.partition("://")
    host, _, path = rest.partition("/")
    return endpoint if path else f"{scheme}://{host}{PATH}"


def _provider(address: str, node: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    service = {
        "service.name": "streamer",
        "service.version": version("streamer"),
        "service.instance.id": node,
    }
    provider = TracerProvider(ALWAYS_ON, Resource.create(service), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(address, timeout=TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    return provider


def _attributes(trace: FrameTrace) -> dict[str, str | int]:
    return {
        "streamer.camera": trace.camera,
        "streamer.worker": trace.worker,
        "streamer.epoch": trace.epoch,
        "streamer.frame_id": trace.frame_id,
        "streamer.events": trace.events,
        "streamer.batch": trace.batch,
    }
