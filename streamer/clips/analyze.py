"""The whole path in one process on one clip: every frame, as fast as it goes, with the clip's own time.

A thread decodes and scales ahead; the main thread keeps the detector's pipe full and runs the tracker and
the analytics of one frame while the detector works on the next. It is the same Pipeline as the daemon's.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from pipelines.actions.engine import ActionEngine
from pipelines.alerts.camera_alerts import CameraAlerts, IsOpen
from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Detector, Ticket
from pipelines.detect.errors import ModelRefused
from pipelines.geometry import fit
from pipelines.pipeline import Pipeline
from pipelines.scene.tracker import SceneTracker
from pipelines.track.needed_rate import NeededRate, segments
from pipelines.values import Detections, Event, FrameResult, Image, Labels, Stamp
from streamer.clips.analysis import Analysis
from streamer.clips.drawing import Overlay
from streamer.clips.needed_frames import NeededFrames
from streamer.clips.people import PeopleHider, tracked_people
from streamer.clips.prefetch import CAMERA, results, stamp_of
from streamer.clips.stored_detections import DetectionLog, StoredDetections
from streamer.clips.video_writer import ClipWriter
from streamer.errors import ConfigError, SourceDamaged
from streamer.ipc.atomic_write import replacing
from streamer.sources.base import Decoded, Source, SourceInfo
from streamer.sources.gate import Gate

SHORT = 0.9  # fewer than this share of the frames that a clip says it has: it is truncated
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Outputs:
    """What to write besides the counts; each file appears when it is complete. `hider` hides people
    in what is rendered; None: they are shown."""

    render: Path | None = None
    events: Path | None = None
    detections: Path | None = None
    hider: PeopleHider | None = None


@dataclass(frozen=True)
class ClipStart:
    """When a clip was taken (Unix time), and which hours were open then; None: nobody knows, and alerts are
    judged as if their hours held."""

    at_ns: int = 0
    is_open: IsOpen | None = None


UNKNOWN = ClipStart()


@dataclass(frozen=True)
class Sparing:
    """Which frames need no look: `gate`, while nothing moves; `rate`, more than what is followed needs."""

    gate: bool = False
    rate: bool = False

    def __bool__(self) -> bool:
        return self.gate or self.rate


EVERY_FRAME = Sparing()


class Watcher(Protocol):
    """Sees what passes, in order: every frame's result, then the events of its end."""

    def frame(self, result: FrameResult) -> None: ...

    def event(self, event: Event) -> None: ...


class _Sink:
    """Takes the results in order: counts them, writes them, draws them, shows them to the watcher."""

    def __init__(
        self,
        analysis: Analysis,
        labels: Labels,
        events: IO[str] | None,
        clip: ClipWriter | None,
        watcher: Watcher | None,
        start: ClipStart,
        hider: PeopleHider | None = None,
    ) -> None:
        self._hider = hider
        self._labels = labels
        self._watcher = watcher
        self._alerts = CameraAlerts(analysis.rules, start.is_open)
        self._alerts.source_state("live", "")
        self._told = 0  # events, of which alerts name those that made them by their numbers
        self._analysis = analysis
        self._events = events
        self._clip = clip
        self._overlay = Overlay(analysis.rules, labels)

    @property
    def draws(self) -> bool:
        """Whether it wants the picture of each result."""
        return self._clip is not None

    def take(self, result: FrameResult, image: Image | None) -> None:
        self._analysis.frames += 1
        if self._watcher is not None:
            self._watcher.frame(result)
        seen = frozenset(result.tracks.track_ids[result.tracks.observed].tolist())
        alerts = self._alerts.on_frame(result.stamp, seen, result.events, self._told + 1)
        for event in (*result.events, *alerts):
            self.event(event)
        if self._clip is not None and image is not None:
            if self._hider is not None:
                known = tracked_people(result.tracks, self._labels)
                self._hider.hide_next(image, result.stamp.media_ns, known)
            self._clip.add(self._overlay.draw(image, result), result.stamp.media_ns)

    def event(self, event: Event) -> None:
        self._told += 1
        self._analysis.count(event)
        if self._watcher is not None:
            self._watcher.event(event)
        if self._events is not None:
            record = {
                "type": event.type,
                "subject": event.subject,
                "time_s": round(event.stamp.media_ns / 1e9, 6),
                "frame": event.stamp.frame_id,
                "data": dict(event.data),
            }
            self._events.write(json.dumps(record) + "\n")


def analyze(
    source: Source,
    info: SourceInfo,
    detector: Detector,
    rules: CameraRules,
    *,
    clip: str,
    width: int = 640,
    outputs: Outputs | None = None,
    partial: bool = False,
    progress: Progress | None = None,
    watcher: Watcher | None = None,
    actions: ActionEngine | None = None,
    scene: SceneTracker | None = None,
    start: ClipStart = UNKNOWN,
    sparing: Sparing = EVERY_FRAME,
) -> Analysis:
    """Run every frame of `source` (open; closed by the caller), or those that `sparing` leaves, through
    `detector`, tracker and analytics.

    `width` is the analysis width. `partial` accepts a clip that ends before its stated length, which else
    raises SourceDamaged. Raises ConfigError for a class that the model does not have, and where `sparing` is
    for what needs every frame.
    """
    outputs = outputs or Outputs()
    if sparing:
        _check_sparing(outputs, detector)
    pipeline = Pipeline(detector, actions)
    pipeline.keeps_masks = outputs.render is not None
    _open(pipeline, rules)
    pipeline.watch_scene(CAMERA, scene, None)
    analysis = Analysis(
        rules, width=info.width, height=info.height, fps=info.fps, detector=detector.describe()
    )
    log = DetectionLog() if outputs.detections is not None else None
    shape = fit(info.width, info.height, width)[::-1]
    with contextlib.ExitStack() as stack:
        sink = _opened_sink(stack, outputs, analysis, detector.labels, watcher, start)
        if sparing:
            needed = _needed(source, pipeline, shape[1], sparing, rules, progress, start)
            _run(needed, sink, log, None)
            analysis.looks, last = needed.looks, needed.looks.last
            analysis.frames = needed.looks.frames
        else:
            found = results(source, pipeline, shape, low_confidence=log is not None, start_ns=start.at_ns)
            last = _run(found, sink, log, progress)
        _finish(analysis, pipeline, sink, last)
        if not partial:
            _check_complete(clip, info, analysis)
        if log is not None:
            _write_detections(log, outputs, analysis, detector, clip, shape)
    return analysis


def _check_sparing(outputs: Outputs, detector: Detector) -> None:
    wanted = "leave out --gate and --fps, so that all frames are looked at"
    if outputs.render is not None or outputs.detections is not None:
        raise ConfigError(f"--render and --detections show every frame: {wanted}")
    if detector.describe().get("engine") == "motion":
        raise ConfigError(f"the motion detector learns its background from every frame: {wanted}")


def _needed(
    source: Source,
    pipeline: Pipeline,
    width: int,
    sparing: Sparing,
    rules: CameraRules,
    progress: Progress | None,
    start: ClipStart,
) -> NeededFrames:
    return NeededFrames(
        source,
        pipeline,
        width,
        rate=NeededRate() if sparing.rate else None,
        gate=Gate() if sparing.gate else None,
        drawn=segments([line.points for line in rules.lines], [zone.points for zone in rules.zones]),
        progress=progress,
        start_ns=start.at_ns,
    )


def _opened_sink(
    stack: contextlib.ExitStack,
    outputs: Outputs,
    analysis: Analysis,
    labels: Labels,
    watcher: Watcher | None,
    start: ClipStart,
) -> _Sink:
    """What takes the results, with the files that it writes; `stack` closes them."""
    events = writer = None
    if outputs.events is not None:
        path = stack.enter_context(replacing(outputs.events))
        events = stack.enter_context(path.open("w", encoding="utf-8"))
    if outputs.render is not None:
        size = (analysis.width, analysis.height)
        writer = stack.enter_context(ClipWriter(outputs.render, *size, analysis.fps))
    return _Sink(analysis, labels, events, writer, watcher, start, outputs.hider)


def _run(
    found: Iterable[tuple[Decoded, FrameResult, Detections]],
    sink: _Sink,
    log: DetectionLog | None,
    progress: Progress | None,
) -> Stamp | None:
    """Take every frame's result; the stamp of the last."""
    last: Stamp | None = None
    for item, result, detections in found:
        sink.take(result, item.image() if sink.draws else None)
        if log is not None:
            log.add(result.stamp.media_ns, detections)
        last = result.stamp
        if progress is not None:
            progress(1)
    return last


def _write_detections(
    log: DetectionLog,
    outputs: Outputs,
    analysis: Analysis,
    detector: Detector,
    clip: str,
    shape: tuple[int, int],
) -> None:
    """The stored detections of the clip; `shape` is (height, width) of what was analysed."""
    assert outputs.detections is not None, "the log is kept for it"
    log.write(
        outputs.detections,
        clip=clip,
        size=(analysis.width, analysis.height),
        fps=analysis.fps,
        labels=detector.labels,
        joints=detector.joints,
        detector=analysis.detector,
        aspect=shape[1] / shape[0],
    )


def replay(
    stored: StoredDetections,
    rules: CameraRules,
    *,
    outputs: Outputs | None = None,
    progress: Progress | None = None,
    watcher: Watcher | None = None,
    actions: ActionEngine | None = None,
    start: ClipStart = UNKNOWN,
) -> Analysis:
    """The same from stored detections: no pixels, no model. Raises ConfigError for an unknown class."""
    outputs = outputs or Outputs()
    pipeline = Pipeline(Replayed(stored), actions)
    _open(pipeline, rules)
    analysis = Analysis(
        rules, width=stored.width, height=stored.height, fps=stored.fps, detector=dict(stored.detector)
    )
    with contextlib.ExitStack() as stack:
        events = None
        if outputs.events is not None:
            path = stack.enter_context(replacing(outputs.events))
            events = stack.enter_context(path.open("w", encoding="utf-8"))
        sink = _Sink(analysis, stored.labels, events, None, watcher, start)
        last: Stamp | None = None
        aspect = stored.aspect or stored.width / stored.height
        for number, (media_ns, detections) in enumerate(stored.frames()):
            last = stamp_of(number, media_ns, start.at_ns)
            sink.take(pipeline.advance(last, detections, aspect), None)
            if progress is not None:
                progress(1)
        _finish(analysis, pipeline, sink, last)
    return analysis


class Replayed:
    """Stands where a detector would; its answers are in the file."""

    max_batch, parallel, depth = 1, 1, 1

    def __init__(self, stored: StoredDetections) -> None:
        self.labels = stored.labels
        self.joints = stored.joints

    def enable_feature_maps(self, strides: Any) -> int:  # noqa: ARG002
        raise ModelRefused("stored detections have no feature maps: analyse the clip itself")

    def submit(self, frames: Any, notify: Any = None) -> Ticket:  # noqa: ARG002
        raise RuntimeError("stored detections are replayed by Pipeline.advance")

    def collect(self, ticket: Ticket) -> list[Detections]:  # noqa: ARG002
        raise RuntimeError("stored detections are replayed by Pipeline.advance")

    def forget(self, camera: str) -> None:
        """Nothing is kept."""

    def describe(self) -> dict[str, Any]:
        return {}


def _open(pipeline: Pipeline, rules: CameraRules) -> None:
    try:
        pipeline.open_camera(CAMERA, rules)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _finish(analysis: Analysis, pipeline: Pipeline, sink: _Sink, last: Stamp | None) -> None:
    if last is None:
        return
    analysis.view_moved = pipeline.view_moved(CAMERA)
    for event in pipeline.end_tracks(CAMERA, last):
        sink.event(event)
    frame_s = 1 / analysis.fps if analysis.fps > 0 else 0.0
    analysis.duration_s = last.media_ns / 1e9 + frame_s


def _check_complete(clip: str, info: SourceInfo, analysis: Analysis) -> None:
    if info.frames and analysis.frames < SHORT * info.frames:
        raise SourceDamaged(
            f"{clip}: truncated: {analysis.frames} of {info.frames} frames could be decoded; "
            "copy it again, or count what there is with --partial"
        )
