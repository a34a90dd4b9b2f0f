"""How right the counts of a clip or of stored detections are: analysed as ever, and held against truth.

The truth is a CSV of crossings or MOT text (pipelines.evaluate.truth and .boxes say what they look like).
What does not fit the clip is a ConfigError or a warning of the evaluation, never a count.
"""

from __future__ import annotations

import configparser
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Detector
from pipelines.evaluate.boxes import TrueBoxes, box_crossings, check_boxes, read_mot
from pipelines.evaluate.crossings import WITHIN_S, Crossing, compare
from pipelines.evaluate.summary import Evaluation, evaluate
from pipelines.evaluate.tracking import FrameBoxes, TrackingScore, tracking_score
from pipelines.evaluate.truth import TrueCrossings, TruthError, is_asked, keep_classes, read_crossings
from pipelines.events import LINE_CROSSED
from pipelines.values import Event, FrameResult, Labels, Tracks
from streamer.clips import analyze as analysis
from streamer.clips.analysis import Analysis
from streamer.clips.analyze import Progress
from streamer.clips.stored_detections import StoredDetections
from streamer.errors import ConfigError, SourceError
from streamer.sources.base import Source, SourceInfo

NO_TRACKING = "HOTA, IDF1 and MOTA need `pip install 'streamer[evaluate]'`"


# ---- the run


@dataclass
class Recording:
    """Watches an analysis: keeps the tracks of every frame (about 60 bytes a box) and the crossings."""

    results: list[FrameResult] = field(default_factory=list)
    crossings: list[Event] = field(default_factory=list)

    def frame(self, result: FrameResult) -> None:
        """Raises SourceError for a time that goes backwards, with which no truth could be compared."""
        if self.results and result.stamp.media_ns < self.results[-1].stamp.media_ns:
            raise SourceError(
                f"frame {len(self.results) + 1}: its time goes backwards: convert the clip first"
            )
        tracks = result.tracks
        bare = Tracks(
            tracks.track_ids,
            tracks.boxes_xyxyn,
            tracks.scores,
            tracks.class_ids,
            tracks.observed,
            tracks.jitter_xyn,
        )
        self.results.append(replace(result, tracks=bare, events=()))

    def event(self, event: Event) -> None:
        if event.type == LINE_CROSSED:
            self.crossings.append(event)

    @property
    def times_s(self) -> list[float]:
        return [result.stamp.media_ns / 1e9 for result in self.results]


@dataclass(frozen=True)
class ClipRun:
    """What one configuration made of the clip. `clip` is what its pictures can be read from, or None, and
    `stream` the stream of it that was asked for.
    """

    name: str
    clip: str | None
    rules: CameraRules
    labels: Labels
    analysis: Analysis
    recording: Recording
    stream: int | None = None


def run_clip(
    name: str,
    clip: str,
    source: Source,
    info: SourceInfo,
    detector: Detector,
    rules: CameraRules,
    *,
    width: int = 640,
    partial: bool = False,
    stream: int | None = None,
    progress: Progress | None = None,
) -> ClipRun:
    """`source` is open and closed by the caller. Raises what streamer.clips.analyze.analyze() raises."""
    recording = Recording()
    found = analysis.analyze(
        source,
        info,
        detector,
        rules,
        clip=clip,
        width=width,
        partial=partial,
        progress=progress,
        watcher=recording,
    )
    return ClipRun(name, clip, rules, detector.labels, found, recording, stream)


def run_stored(
    name: str,
    stored: StoredDetections,
    rules: CameraRules,
    *,
    video: str | None = None,
    stream: int | None = None,
    progress: Progress | None = None,
) -> ClipRun:
    """The same from stored detections; `video` is the clip that they are of, for pictures."""
    recording = Recording()
    found = analysis.replay(stored, rules, progress=progress, watcher=recording)
    return ClipRun(name, video, rules, stored.labels, found, recording, stream)


# ---- the truth


@dataclass(frozen=True)
class TruthFile:
    """TrueCrossings as it was read: the text of a CSV, or boxes.

    `size` is what the boxes are measured in (None: the clip's own); `fps` gives the times of the boxes'
    frames (None: they are the clip's frames, one to one).
    """

    name: str
    text: str = ""
    boxes: TrueBoxes | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None


def load_truth(path: Path, *, size: tuple[int, int] | None = None, fps: float | None = None) -> TruthFile:
    """MOT text (also with a seqinfo.ini, which gives the size) or CSV. Raises SourceError or ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SourceError(f"{path}: the truth cannot be read: {reason}") from error
    if not _is_mot(text):
        if size is not None or fps is not None:
            raise ConfigError(f"{path}: --truth-size and --truth-fps are for boxes; this is a CSV")
        return TruthFile(path.name, text=text)
    try:
        boxes = read_mot(text, name=path.name)
    except TruthError as error:
        raise ConfigError(str(error)) from error
    return TruthFile(path.name, boxes=boxes, size=size or _sequence_size(path), fps=fps)


def check_truth(truth: TruthFile, rules: CameraRules) -> None:
    """Refuse before a long run what can be refused. Raises ConfigError."""
    if truth.boxes is None:
        _read(truth, rules, float("inf"))


def _is_mot(text: str) -> bool:
    """Rows of six numbers or more; a crossing has four cells, of which the second is a name."""
    for line in text.removeprefix("\ufeff").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            return len([cell for cell in line.split(",") if cell.strip()]) >= 6
    return False


def _sequence_size(path: Path) -> tuple[int, int] | None:
    """From the seqinfo.ini of MOTChallenge, beside the text or one folder up. Raises ConfigError."""
    for folder in (path.parent, path.parent.parent):
        about = configparser.ConfigParser()
        try:
            if about.read(folder / "seqinfo.ini"):
                return about.getint("Sequence", "imWidth"), about.getint("Sequence", "imHeight")
        except (configparser.Error, ValueError, UnicodeDecodeError) as error:
            message = " ".join(str(error).split())
            raise ConfigError(f"{folder / 'seqinfo.ini'}: {message}: give --truth-size") from error
    return None


def _read(truth: TruthFile, rules: CameraRules, end_s: float) -> TrueCrossings:
    directions = {line.name: (line.left_to_right, line.right_to_left) for line in rules.lines}
    try:
        return read_crossings(truth.text, directions, name=truth.name, end_s=end_s)
    except TruthError as error:
        raise ConfigError(str(error)) from error


# ---- the two together


@dataclass(frozen=True)
class Judged:
    """A run's evaluation, and what its pictures need: the counted event of each false count, by id(crossing).

    `true_boxes` only where their frames are the clip's.
    """

    run: ClipRun
    evaluation: Evaluation
    events: dict[int, Event]
    true_boxes: TrueBoxes | None
    box_size: tuple[int, int]


def judge_run(run: ClipRun, truth: TruthFile, *, within_s: float = WITHIN_S, start_s: float = 0.0) -> Judged:
    """Raises ConfigError where the truth is not of this clip."""
    if not run.recording.results:
        raise SourceError(f"{run.name}: no frame could be read: there is nothing to compare")
    size = truth.size or (run.analysis.width, run.analysis.height)
    groups = dict(zip(run.labels.names, run.labels.groups, strict=True))
    boxes = None
    warnings: list[str] = []
    tracking = None
    if truth.boxes is None:
        true = _read(truth, run.rules, run.analysis.duration_s + within_s)
    else:
        boxes = _asked_boxes(truth.boxes, run.rules.classes, groups, truth.name)
        times_s = _times(truth, run)
        try:
            warnings += check_boxes(boxes, size, times_s, name=truth.name)
        except TruthError as error:
            raise ConfigError(str(error)) from error
        true = box_crossings(boxes, run.rules.lines, size, times_s)
        tracking = _tracking(run, boxes, size, times_s, warnings)
        if not run.rules.lines:
            warnings.append("no line is drawn: only tracks are compared")
    true = keep_classes(true, run.rules.classes, groups, name=truth.name)
    counted = [_crossing(event) for event in run.recording.crossings]  # two may be equal, and are two
    comparison = compare(true.crossings, counted, within_s)
    overlay_boxes = boxes if truth.fps is None else None
    evaluation = evaluate(
        run.name,
        comparison,
        duration_s=run.analysis.duration_s,
        within_s=within_s,
        start_s=start_s,
        facts=_facts(run, truth),
        tracking=tracking,
        warnings=(*true.warnings, *warnings),
    )
    events = {id(c): e for c, e in zip(counted, run.recording.crossings, strict=True)}
    return Judged(run, evaluation, events, overlay_boxes, size)


def _crossing(event: Event) -> Crossing:
    data = event.data
    return Crossing(event.subject, data["direction"], data["crossed_media_ns"] / 1e9, data["class"])


def _facts(run: ClipRun, truth: TruthFile) -> dict[str, str]:
    detector = run.analysis.detector
    what = detector.get("model") or detector.get("engine") or "stored detections"
    return {
        "clip": Path(run.clip or run.name).name,
        "truth": truth.name,
        "frames": str(len(run.recording.results)),
        "picture": f"{run.analysis.width}x{run.analysis.height}",
        "detector": Path(str(what)).name,
        "classes": ", ".join(run.rules.classes) or "all",
    }


def _asked_boxes(boxes: TrueBoxes, classes: Sequence[str], groups: dict[str, str], name: str) -> TrueBoxes:
    mask = np.array([is_asked(kind, classes, groups) for kind in boxes.class_names])
    if not mask.any():
        raise ConfigError(f"{name}: has no box of the classes asked for ({', '.join(classes)})")
    left_out = int((~mask).sum())
    said = (f"{name}: {left_out} boxes of classes that are not asked for left out",) if left_out else ()
    kinds = tuple(kind for kind, asked in zip(boxes.class_names, mask.tolist(), strict=True) if asked)
    return TrueBoxes(
        boxes.frames[mask], boxes.ids[mask], boxes.boxes_xyxy[mask], kinds, (*boxes.warnings, *said)
    )


def _times(truth: TruthFile, run: ClipRun) -> list[float]:
    """When each frame of the true boxes was."""
    if truth.fps is None:
        return run.recording.times_s
    return [i / truth.fps for i in range(max(1, round(run.analysis.duration_s * truth.fps)))]


def _tracking(
    run: ClipRun, boxes: TrueBoxes, size: tuple[int, int], times_s: Sequence[float], warnings: list[str]
) -> TrackingScore | None:
    """The score over the frames of the truth, each with the clip's frame that is nearest in time."""
    shown_s = np.array(run.recording.times_s)
    frames = []
    for number, time_s in enumerate(times_s, 1):
        low, high = np.searchsorted(boxes.frames, (number, number + 1))
        after = int(np.searchsorted(shown_s, time_s))
        near = min(
            (i for i in (after - 1, after) if 0 <= i < len(shown_s)), key=lambda i: abs(shown_s[i] - time_s)
        )
        tracks = run.recording.results[near].tracks
        scale = np.array([*size, *size], np.float64)
        frames.append(
            FrameBoxes(
                boxes.ids[low:high],
                boxes.boxes_xyxy[low:high],
                tracks.track_ids,
                tracks.boxes_xyxyn.astype(np.float64) * scale,
            )
        )
    try:
        return tracking_score([frames])
    except ImportError:
        warnings.append(NO_TRACKING)
        return None
