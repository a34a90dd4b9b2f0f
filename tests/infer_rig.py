"""A real inference worker in this process, with a detector that finds what a test says.

Its bus, sequencer, counters, rings and checkpoints are the real ones; the supervisor, the capture worker and
the delivery worker are played here.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Ticket
from pipelines.detect.errors import InferenceRejected, InvalidOutput
from pipelines.pipeline import Pipeline
from pipelines.spec import PipelineSpec
from pipelines.values import Detections, Frame, Labels, Stamp
from streamer.events.cloudevents import COUNTING_TYPES, COUNTS
from streamer.ipc.bus import Bus
from streamer.ipc.camera_term import CameraTerm
from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.ipc.frame_ring import RingMemory
from streamer.ipc.messages import (
    Ack,
    Batch,
    CameraResume,
    EventRecord,
    FrameReady,
    InferAssignment,
    InferCamera,
    Resume,
    ResumeRequest,
)
from streamer.workers.infer.worker import InferWorker

LABELS = Labels(("person", "car", "truck"), ("person", "vehicle", "vehicle"))
STEP_NS = 100_000_000
WIDTH, HEIGHT = 64, 36
LIMIT_S = 20.0

Looks = Callable[[Stamp], Detections]  # raises InvalidOutput where that frame's answer is no good


class ScriptedDetector:
    """Is done at once; `look` says what it finds."""

    joints: tuple[str, ...] = ()

    def __init__(self, look: Looks, max_batch: int = 1, labels: Labels = LABELS) -> None:
        self.labels, self.max_batch = labels, max_batch
        self.parallel, self.depth = 1, 3
        self._look = look
        self._open: dict[int, list[Stamp]] = {}
        self.batches: Counter[int] = Counter()  # by the number of their frames

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        ticket = Ticket(tuple(frame.stamp.camera for frame in frames))
        self.batches[len(frames)] += 1
        self._open[id(ticket)] = [frame.stamp for frame in frames]
        if notify is not None:
            notify()
        return ticket

    def collect(self, ticket: Ticket) -> list[Detections]:
        found: list[Detections | None] = []
        reasons: dict[int, str] = {}
        for i, stamp in enumerate(self._open.pop(id(ticket))):
            try:
                found.append(self._look(stamp))
            except InvalidOutput as error:
                reasons[i] = str(error)
                found.append(None)
        if reasons:
            raise InferenceRejected(reasons, tuple(found))
        return [each for each in found if each is not None]

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        raise NotImplementedError

    def forget(self, camera: str) -> None: ...

    def describe(self) -> dict[str, Any]:
        return {}


def boxes(*feet: tuple[float, float], class_id: int = 0, score: float = 0.9) -> Detections:
    """One box of 0.06 x 0.2 for each place of a foot."""
    table = [[x - 0.03, y - 0.2, x + 0.03, y] for x, y in feet]
    n = len(table)
    return Detections(
        np.array(table, np.float32).reshape(-1, 4),
        np.full(n, score, np.float32),
        np.full(n, class_id, np.int32),
    )


def passers_by(stamp: Stamp) -> Detections:
    """Every 12 frames somebody crosses the line within 8 of them, and then nobody is there."""
    at = stamp.frame_id % 12
    return boxes((0.3 + 0.05 * at, 0.8)) if at < 9 else boxes()


def spec(name: str) -> str:
    """The JSON of a pipeline that the rig knows by `name`."""
    return PipelineSpec(name="default", model=name).model_dump_json()


class InferRig:
    """`pipelines` gives the pipeline of a model's name. Cameras are rows in the order of their first use."""

    def __init__(self, base: Path, pipelines: Callable[[str], Pipeline]) -> None:
        self.base, self._pipelines = base, pipelines
        (base / "run").mkdir(mode=0o700)
        self.shared = base / "shared"
        self.shared.mkdir()
        self.counters = FrameCounters.create(self.shared / COUNTERS_FILE)
        self.ring = self.shared / "ring"
        RingMemory.create(self.ring, 4, WIDTH, HEIGHT)
        self.records: list[EventRecord] = []
        self.load_late = False  # whether the ledger's answer is there before a pipeline is
        self.may_load = threading.Event()
        self.terms: dict[str, CameraTerm] = {}  # of the cameras that are given next
        self.bucket_s = 60
        self._rows: dict[str, int] = {}
        self._rev = 0
        self._bus = Bus(base / "run")
        self._deliver = self._bus.serve("deliver")
        self._supervisor = self._bus.serve("supervisor")
        self.worker = self._begin()

    def _begin(self) -> InferWorker:
        worker = InferWorker("infer-0", self.base / "run", self.base / "state", self.shared)
        worker.open()
        self._capture = self._bus.connect("infer-0", "capture-0")
        return worker

    def assign(self, **models: str) -> None:
        """Give the worker these cameras, each with its model, and wait until it has them."""
        self._rev += 1
        self.may_load.clear()
        rules = CameraRules.model_validate(DOOR).model_dump_json()
        for camera in models:
            self._rows.setdefault(camera, len(self._rows))
        cameras = tuple(
            InferCamera(
                camera, self._rows[camera], 0, spec(model), rules, self.bucket_s, term=self.terms.get(camera)
            )
            for camera, model in models.items()
        )
        self.worker._handle("supervisor", InferAssignment(self._rev, self._rev, "onnx", 1, cameras))
        held = self.worker._cameras
        if self.load_late:
            self.until(lambda: all(self.worker._sequencer.can_number(n) for n in models))
        self.may_load.set()
        self.until(lambda: all(held[n].pipeline_spec == spec(m) for n, m in models.items()))
        self.until(lambda: all(self.worker._sequencer.can_number(n) for n in models))

    def load(self, spec_json: str) -> Pipeline:
        """Stands for PipelineLoader._load."""
        assert self.may_load.wait(LIMIT_S)
        return self._pipelines(PipelineSpec.model_validate_json(spec_json).model)

    def frames(self, camera: str, numbers: Sequence[int], epoch: int = 1) -> None:
        """Hand these frames over one after another, each when the one before is counted."""
        for number in numbers:
            before = self._answered(camera)
            self.hand(camera, number, epoch)
            self.until(lambda before=before: self._answered(camera) > before)

    def hand(self, camera: str, number: int, epoch: int = 1) -> None:
        """Those that are handed over one after another, with no step between, wait together."""
        media_ns, now_ns = number * STEP_NS, time.monotonic_ns()
        place = (str(self.ring), 0, 0, epoch, number, WIDTH, HEIGHT)
        message = FrameReady(camera, *place, media_ns, time.time_ns(), now_ns, "pts", number)
        self.worker._handle("capture-0", message)
        self.worker._wake()

    def _answered(self, camera: str) -> int:
        balance = self.counters.balance(self._rows[camera])
        return balance.inferred + sum(balance.dropped.values())

    def until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline_s, "the worker does not get there"
            self.worker.step()
            self._play()

    def _play(self) -> None:
        """What the delivery worker does."""
        for received in self._bus.poll(0):
            if isinstance(received.message, Batch):
                self._take(received.message)
                self._deliver.send(received.peer, Ack(received.message.number))
            elif isinstance(received.message, ResumeRequest):
                stands = tuple(self._stands(camera) for camera in received.message.cameras)
                self._deliver.send(received.peer, Resume(stands))

    def _take(self, batch: Batch) -> None:
        self.records += [event for event in batch.events if event.seq > self.last_seq(event.camera)]

    def _stands(self, camera: str) -> CameraResume:
        """As the ledger answers."""
        told = [record for record in self.records if record.camera == camera]
        ends = [(r.seq, int(r.data["end_ns"])) for r in told if r.type == COUNTS]
        bucket_seq, end_ns = ends[-1] if ends else (0, 0)
        counting = tuple(r for r in told if r.seq > bucket_seq and r.type in COUNTING_TYPES)
        return CameraResume(camera, self.last_seq(camera), end_ns, counting)

    def last_seq(self, camera: str) -> int:
        return max((r.seq for r in self.records if r.camera == camera), default=0)

    def kill(self) -> None:
        """The worker is gone as by SIGKILL, and a successor begins."""
        self.worker._bus.close()
        self._bus.disconnect(self._capture)
        self.worker = self._begin()

    def settle(self) -> None:
        """Until every event that has left is here."""
        self.until(lambda: not self.worker._sequencer.unacknowledged)

    def close(self) -> None:
        self.worker._bus.close()
        self._bus.close()


DOOR = {
    "lines": [
        {
            "name": "door",
            "points": [[0.5, 1.0], [0.5, 0.0]],
            "left_to_right": "in",
            "right_to_left": "out",
        }
    ]
}
