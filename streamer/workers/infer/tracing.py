"""Which frames are traced, and the parts of their way, from the times that every frame carries anyway.

There is a tracer only where traces are asked for: without one a frame costs nothing more. The spans are made
and sent on by the delivery worker (deliver/traces.py), off the frame's way.

    queue             from decoded to taken: waiting to be wanted, conversion, and waiting for the detector
    inference         in the detector
    track and count   from the detector's answer to the last event
    commit            from there to the ledger's acknowledgement; of frames with events alone
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from pipelines.values import FrameResult, Stamp
from streamer.ipc.bus import Client
from streamer.ipc.choices import TraceSample
from streamer.ipc.messages import FrameTrace
from streamer.workers.infer.alerting import Emitted
from streamer.workers.infer.camera import CameraContext
from streamer.workers.infer.scheduler import RunningBatch

NS_PER_S = 1_000_000_000
MAX_AWAITED = 64  # traces that wait for the ledger: while it is away none are kept
Span = tuple[str, int, int]


class Tracer:
    """For one thread. `delivery` takes the traces; what it does not take is lost."""

    def __init__(self, worker: str, delivery: Client, sample: TraceSample) -> None:
        self._worker, self._delivery, self._sample = worker, delivery, sample
        self._owed = 0.0
        self._last_ns: dict[str, int] = {}
        self._awaited: list[tuple[int, FrameTrace]] = []

    def _wants(self, stamp: Stamp) -> bool:
        """Whether this frame is sampled; to be asked once of each."""
        if self._sample == "1/s":
            due = stamp.received_mono_ns - self._last_ns.get(stamp.camera, -NS_PER_S) >= NS_PER_S
            if due:
                self._last_ns[stamp.camera] = stamp.received_mono_ns
            return due
        self._owed += float(self._sample)
        if self._owed < 1:
            return False
        self._owed -= 1
        return True

    def batch_finished(
        self,
        batch: RunningBatch,
        collected: Sequence[tuple[CameraContext, FrameResult | str]],
        events: Sequence[Emitted],
        begun_s: float,
        number: int,
    ) -> None:
        """All is told of the frames of `batch`, which were tracked and counted from `begun_s` on (monotonic);
        `number` is that of the batch of their events, where there are some."""
        for camera, result in collected:
            if isinstance(result, str) or not self._wants(result.stamp):
                continue
            told = sum(of is camera for of, _ in events)
            trace = self._trace(result.stamp, batch, begun_s, told)
            if told:
                self._awaited = [*self._awaited, (number, trace)][-MAX_AWAITED:]
            else:
                self._delivery.send(trace)

    def acknowledged(self, number: int) -> None:
        """The ledger has all batches up to `number`."""
        done = [trace for awaited, trace in self._awaited if awaited <= number]
        self._awaited = [(awaited, trace) for awaited, trace in self._awaited if awaited > number]
        for trace in done:
            commit: Span = ("commit", trace.spans[-1][2], time.time_ns())
            self._delivery.send(_with(trace, commit))

    def _trace(self, stamp: Stamp, batch: RunningBatch, begun_s: float, events: int) -> FrameTrace:
        now_ns = time.monotonic_ns()
        to_wall_ns = time.time_ns() - now_ns
        taken_ns = int(batch.started_s * NS_PER_S)
        found_ns = int((batch.finished_s or begun_s) * NS_PER_S)
        marks = (
            ("queue", stamp.received_mono_ns, taken_ns),
            ("inference", taken_ns, found_ns),
            ("track and count", int(begun_s * NS_PER_S), now_ns),
        )
        spans = tuple((name, begin + to_wall_ns, end + to_wall_ns) for name, begin, end in marks)
        of = (stamp.camera, self._worker, stamp.epoch, stamp.frame_id)
        return FrameTrace(*of, events, len(batch.cameras), spans)


def _with(trace: FrameTrace, span: Span) -> FrameTrace:
    parts = (trace.camera, trace.worker, trace.epoch, trace.frame_id, trace.events, trace.batch)
    return FrameTrace(*parts, (*trace.spans, span))
