"""Traces of sampled frames: what an inference worker says of a frame's way, and what a collector gets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from pipelines.pipeline import Pipeline
from pipelines.values import Detections, Stamp
from streamer.config.schema import TracingConfig
from streamer.ipc.choices import TraceSample
from streamer.ipc.messages import DeliverAssignment, FrameTrace, InferAssignment
from streamer.workers.deliver import traces
from streamer.workers.deliver.traces import address_of
from streamer.workers.infer.loader import PipelineLoader
from tests.faults.delivery_rig import NODE, Rig
from tests.infer_rig import InferRig, ScriptedDetector, boxes
from tests.patience import patient

NEEDS_OTEL = "needs opentelemetry: the extra otel"


def walking(stamp: Stamp) -> Detections:
    """One person from the left to the right."""
    return boxes((0.2 + 0.05 * stamp.frame_id, 0.6))


class TracedRig(InferRig):
    sample: TraceSample | None = None
    traces: list[FrameTrace]

    def trace(self, sample: TraceSample | None) -> None:
        assignment = self.worker._assignment
        assert assignment is not None
        again: InferAssignment = msgspec.structs.replace(assignment, rev=assignment.rev + 1, trace=sample)
        self.worker._handle("supervisor", again)

    def _play(self) -> None:
        """As the delivery worker, which takes traces too."""
        before = self._bus.poll

        def poll(timeout_s: float) -> Any:
            received = list(before(timeout_s))
            self.traces += [r.message for r in received if isinstance(r.message, FrameTrace)]
            return received

        self._bus.poll = poll  # type: ignore[method-assign]
        try:
            super()._play()
        finally:
            self._bus.poll = before  # type: ignore[method-assign]


@pytest.fixture
def rig(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TracedRig]:
    detector = ScriptedDetector(walking)
    rig = TracedRig(short_dir, lambda _: Pipeline(detector))
    rig.traces = []
    monkeypatch.setattr(PipelineLoader, "_load", lambda _self, text: rig.load(text))
    rig.assign(gate="a")
    yield rig
    rig.close()


def test_the_spans_of_a_frame_follow_each_other_and_end_with_the_commit_where_there_are_events(
    rig: TracedRig,
) -> None:
    rig.trace(1.0)
    began_ns = time.time_ns()
    rig.frames("gate", range(16))
    rig.settle()
    rig.until(lambda: len(rig.traces) == 16)
    told = {trace.frame_id: trace for trace in rig.traces}
    assert sorted(told) == list(range(16))
    quiet, crossing = told[0], next(trace for trace in told.values() if trace.events)
    assert [name for name, _, _ in quiet.spans] == ["queue", "inference", "track and count"]
    assert [name for name, _, _ in crossing.spans][-1] == "commit"
    for trace in told.values():
        moments = [at for _, begin, end in trace.spans for at in (begin, end)]
        assert moments == sorted(moments)
        assert began_ns - 1_000_000 <= moments[0] <= moments[-1] <= time.time_ns()


def test_a_share_of_the_frames_is_traced_or_one_a_second_and_none_when_it_is_off(rig: TracedRig) -> None:
    rig.frames("gate", range(4))
    rig.trace(0.25)
    rig.frames("gate", range(4, 12))
    rig.settle()
    rig.until(lambda: len(rig.traces) >= 2)
    assert [trace.frame_id for trace in rig.traces] == [7, 11]
    rig.trace("1/s")
    rig.hand("gate", 12)
    rig.until(lambda: len(rig.traces) == 3)
    rig.trace(None)
    assert rig.worker._tracer is None
    rig.frames("gate", range(13, 16))
    rig.settle()
    assert len(rig.traces) == 3


# ---- to a collector


class Collector:
    """Takes traces over OTLP/HTTP; `spans` are those that came."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._take(self.path, self.rfile.read(int(self.headers["content-length"])), self.headers)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _take(self, path: str, body: bytes, headers: Any) -> None:
        import gzip

        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        assert path == "/v1/traces"
        raw = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        for resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
            self.resources.append({a.key: a.value.string_value for a in resource.resource.attributes})
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class TracingRig(Rig):
    traces_to = ""

    def assignment(self, rev: int = 1, config_rev: int = 1) -> DeliverAssignment:
        made = super().assignment(rev, config_rev)
        return msgspec.structs.replace(made, sinks=(), traces_to=self.traces_to)


@pytest.mark.integration
def test_a_collector_gets_each_frame_with_its_parts_below_it(short_dir: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason=NEEDS_OTEL)
    collector, rig = Collector(), TracingRig(short_dir)
    rig.traces_to = collector.url
    try:
        rig.start_delivery()
        rig.resume()
        at_ns = time.time_ns()
        parts = (("queue", at_ns, at_ns + 5), ("inference", at_ns + 5, at_ns + 9))
        rig._client.send(FrameTrace("gate", "infer-0", 1, 7, 2, 3, parts))
        rig.until(lambda: len(collector.spans) == 3)
        assert rig.stop_delivery() == 0
    finally:
        rig.close()
        collector.close()
    frame = next(span for span in collector.spans if span.name == "frame")
    assert (frame.start_time_unix_nano, frame.end_time_unix_nano) == (at_ns, at_ns + 9)
    assert {a.key: a.value.int_value for a in frame.attributes}["streamer.frame_id"] == 7
    below = [span for span in collector.spans if span.parent_span_id == frame.span_id]
    assert sorted(span.name for span in below) == ["inference", "queue"]
    assert collector.resources[0]["service.instance.id"] == NODE


@pytest.mark.integration
def test_a_collector_that_is_away_holds_up_no_event_and_no_stop(short_dir: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason=NEEDS_OTEL)
    rig = TracingRig(short_dir)
    rig.traces_to = "http://127.0.0.1:9"
    try:
        rig.start_delivery()
        rig.resume()
        for number in range(50):
            rig._client.send(FrameTrace("gate", "infer-0", 1, number, 0, 1, (("queue", 1, 2),)))
        rig.count("gate", 5)
        rig.until(lambda: not rig.sequencer.unacknowledged)
        began_s = time.monotonic()
        assert rig.stop_delivery() == 0
        assert time.monotonic() - began_s < patient(10)
    finally:
        rig.close()


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "find_spec", lambda _name: None)
    with pytest.raises(traces.ConfigError, match=r"streamer\[otel\]"):
        traces.Traces("http://localhost:4318", "n")


def test_an_endpoint_is_an_address_without_a_login_and_gets_the_usual_path() -> None:
    for wrong in ("localhost:4318", "http://user:pw@host", "ftp://host"):
        with pytest.raises(ValidationError):
            TracingConfig(endpoint=wrong)
    assert address_of(TracingConfig(endpoint="http://host:4318").endpoint) == "http://host:4318/v1/traces"
    assert address_of("https://host/otlp/traces") == "https://host/otlp/traces"
