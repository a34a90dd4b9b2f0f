"""Labelled tracks of people in synthetic scenes, as a detector and the tracker give them:
python -m streamer.sources.synthetic.tracks --out DIR --count N.

DIR/scene-NNN.npz for `streamer actions train DIR`: the boxes of each track, and beside each what the person
whose box it is does then; what is there already stays. Each scene is a street of its own: seed, height of the
camera, frame rate, people and noise differ; one in three is of the split `val`. DIR/made.npz: tracks of
pipelines/train/actions/tracks.py, which need no detector and whose cameras differ more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.actions.inputs import boxes_to_values
from pipelines.actions.low_score_recovery import LowScoreRecovery
from pipelines.actions.windows import GAP_S
from pipelines.camera_rules import CameraRules
from pipelines.detect.card import read_card
from pipelines.detect.detector import Detector
from pipelines.geometry import iou
from pipelines.pipeline import Pipeline
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.train.actions.tracks import make_tracks
from pipelines.values import Detections, Floats, Frame, Labels, Stamp, Tracks
from streamer.sources.synthetic.painter import Drawn, placed
from streamer.sources.synthetic.scene import Scene

CAMERA = "made"
SECONDS = 60
WIDTH, HEIGHT = 640, 360
VAL_EVERY = 3  # scenes
SAME = 0.3  # intersection over union from which a track is a person's
NOBODY = 0.1  # below it with everybody: something else that is taken for a person
MIN_BOXES = 8  # boxes of a track
MADE_SEED = 1
STAND, RIDE = "stand", "ride"
WORDS = {"rise": STAND}  # what has no label of its own


@dataclass(slots=True)
class LabelledTrack:
    """Boxes as pipelines.actions.inputs has them, their moments, and what is done; "" where that is not
    known."""

    group: str
    split: str
    values: list[Floats] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def add(self, value: Floats, time_s: float, label: str) -> None:
        self.values.append(value)
        self.times_s.append(time_s)
        self.labels.append(label)


def draw_scene(number: int, seed: int) -> Scene:
    """Scene `number` of a set."""
    random = np.random.default_rng((seed, number))
    return Scene(
        seed=int(random.integers(1 << 30)),
        width=WIDTH,
        height=HEIGHT,
        fps=float(np.round(random.uniform(8.0, 12.0), 1)),
        seconds=SECONDS,
        density=float(random.uniform(0.6, 1.0)),
        people=float(random.uniform(1.0, 3.5)),
        bicycles=float(random.uniform(0.5, 3.0)),
        noise=float(random.uniform(1.0, 4.0)),
        mast=float(random.uniform(5.0, 10.0)),
        acts=float(random.uniform(0.5, 1.0)),
    )


def follow(scene: Scene, detector: Detector, group: str, split: str) -> list[LabelledTrack]:
    """The tracks of a scene. Where one was not seen for so long that a window begins anew, another begins."""
    pipeline = Pipeline(detector)
    pipeline.open_camera(CAMERA, CameraRules())
    painter, done = scene.painter(), list[LabelledTrack]()
    going, recovery = dict[int, LabelledTrack](), LowScoreRecovery()
    for number in range(scene.frames or 0):
        picture = scene.snapshot(painter, number)
        at_ns = scene.media_ns(number)
        frame = Frame(Stamp(CAMERA, 1, number, at_ns, at_ns, 0), painter.paint(picture))
        tracks, low_confidence = _look(pipeline, frame)
        seen = _people(tracks, detector.labels)
        seen |= recovery.update(picture.t_s, seen, low_confidence)
        people = [d for d in placed(picture.actors, painter.view) if d.kind == "person"]
        for track_id, value, label in _labelled(seen, people, scene):
            track = going.get(track_id)
            if track is None or picture.t_s - track.times_s[-1] > GAP_S:
                track = going[track_id] = LabelledTrack(group, split)
                done.append(track)
            track.add(value, picture.t_s, label)
    return [track for track in done if len(track.times_s) >= MIN_BOXES and any(track.labels)]


def _look(pipeline: Pipeline, frame: Frame) -> tuple[Tracks, Floats]:
    """Tracks of a frame, and the boxes of people of which the detector is not sure."""
    pending = pipeline.submit([frame])
    pending.ticket.low_confidence = True
    found = pipeline.detections(pending)
    low_confidence = found[0].low_confidence or Detections.empty()
    persons = pipeline.labels.mask(("person",))
    return pipeline.follow(pending, found)[0].tracks, low_confidence.boxes_xyxyn[
        persons[low_confidence.class_ids]
    ]


def _people(tracks: Tracks, labels: Labels) -> dict[int, Floats]:
    """By track id the boxes of people who were seen."""
    rows = [i for i in np.flatnonzero(tracks.observed) if labels.groups[tracks.class_ids[i]] == "person"]
    return {int(tracks.track_ids[row]): tracks.boxes_xyxyn[row] for row in rows}


def _labelled(
    seen: dict[int, Floats], people: Sequence[Drawn], scene: Scene
) -> Iterator[tuple[int, Floats, str]]:
    """Id, values and label of each box."""
    if not seen:
        return
    size = np.array([scene.width, scene.height] * 2, np.float32)
    true = np.clip([d.box for d in people], 0, size) if people else np.zeros((0, 4), np.float32)
    boxes = np.stack(list(seen.values()))
    values = boxes_to_values(boxes, scene.width / scene.height)
    for track_id, value, near in zip(seen, values, iou(boxes * size, true), strict=True):
        yield track_id, value, _label(near, people)


def _label(near: np.ndarray[Any, np.dtype[np.float64]], people: Sequence[Drawn]) -> str:
    most = float(near.max(initial=0.0))
    if most < SAME:
        return STAND if most < NOBODY else ""
    who = people[int(near.argmax())]
    return WORDS.get(who.actor.doing, who.actor.doing) if who.actor.kind == "person" else RIDE


def write(path: Path, tracks: Sequence[LabelledTrack]) -> None:
    """As `streamer actions train` reads it."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            boxes=np.concatenate([np.stack(t.values) for t in tracks]).astype(np.float32),
            times_s=np.concatenate([t.times_s for t in tracks]),
            length=np.array([len(t.times_s) for t in tracks]),
            label=np.array([label for t in tracks for label in t.labels]),
            group=np.array([t.group for t in tracks]),
            split=np.array([t.split for t in tracks]),
        )
    partial.replace(path)


def made(count: int) -> list[LabelledTrack]:
    """Tracks without a detector."""
    data = make_tracks(count, MADE_SEED)
    names = data.heads[0].labels
    return [
        LabelledTrack(
            item.group,
            "train",
            list(item.values),
            item.times_s.tolist(),
            [names[i] for i in item.targets[0].argmax(axis=1)],
        )
        for item in data.sequences
    ]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m streamer.sources.synthetic.tracks", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=12, help="scenes")
    parser.add_argument("--made", type=int, default=800, help="tracks without a detector")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    card = read_card(PACKAGED_MODEL.with_suffix(".yaml"))
    detector = create_detector("auto", PACKAGED_MODEL, threads=1, sidecar=card)
    for number in range(options.count):
        path = options.out / f"scene-{number:03d}.npz"
        if path.exists():
            continue
        split = "val" if number % VAL_EVERY == VAL_EVERY - 1 else "train"
        scene = draw_scene(number, options.seed)
        found = follow(scene, detector, f"scene-{options.seed}-{number}", split)
        write(path, found)
        print(f"scene {number + 1} of {options.count}: {len(found)} tracks", flush=True)
    if options.made:
        write(options.out / "made.npz", made(options.made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
