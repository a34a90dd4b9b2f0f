"""Continues the training of our detector on a user's labelled pictures, and measures what came of it.

Whole clips are held out; where there is only one, its end. The model as it was, those that the tuned one
would replace, and the tuned one are measured on them by the same code. There too the tuned model's threshold
is chosen, since its scores stand elsewhere than before. The training runs in a child process (extra `torch`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.class_names import find
from pipelines.detect.card import ModelCard
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.registry import INSTALL_TORCH, create_detector
from pipelines.train.detector.dataset import CLASSES, DatasetWriter, Labelled
from pipelines.train.detector.precision import Matched, at_score, best_score
from pipelines.values import Detections, Labels
from streamer.errors import ModelError
from streamer.models.agreement import MIN_AP_SCORE, Agreement, detect_all, matched, summary
from streamer.models.export import has_torch
from streamer.models.labelled_images import LabelledPicture
from streamer.models.model_handle import ModelHandle, open_detector
from streamer.models.sample_frames import SampleFrame, shrunk

HELD_OUT = 0.25  # of the pictures, about
MIN_EXAMPLES = 10  # pictures to learn from, and boxes to measure by
MIN_BOXES_TO_CHOOSE = 50  # boxes that a threshold may rest on
SIDE = 640  # pixels of a stored picture's longer side
PICTURES_A_STEP = 16
EPOCHS = 30  # times that each picture is seen


@dataclass(frozen=True, slots=True)
class Split:
    """`by_clip` is False where one clip had to be cut in two."""

    learned: list[LabelledPicture]
    held: list[LabelledPicture]
    by_clip: bool


@dataclass(frozen=True, slots=True)
class Tuned:
    """`before` and the `rivals`, the other models that it would replace, by the names that they are known by,
    are measured at their own thresholds; `before_balanced` at the one that is chosen by the same rule as that
    of `after`. It is None where there were too few boxes to choose by: then the threshold stays.
    """

    path: Path
    before: Agreement
    before_balanced: Agreement | None
    after: Agreement
    rivals: dict[str, Agreement]

    @property
    def better(self) -> bool:
        """Than every model that it would take the place of."""
        return all(self.after.ap50 > other.ap50 for other in (self.before, *self.rivals.values()))


def hold_out(pictures: Sequence[LabelledPicture], share: float = HELD_OUT) -> Split:
    """Split by clip: the clips that together come nearest to `share` of the pictures, greedily.

    Raises ModelError where too little is left on either side.
    """
    clips: dict[str, list[LabelledPicture]] = {}
    for picture in pictures:
        clips.setdefault(picture.clip, []).append(picture)
    target = share * len(pictures)
    held_names: list[str] = []
    for name in sorted(clips, key=lambda name: (len(clips[name]), name)):
        so_far = sum(len(clips[n]) for n in held_names)
        if abs(so_far + len(clips[name]) - target) < abs(so_far - target) and len(held_names) + 1 < len(
            clips
        ):
            held_names.append(name)
    if held_names:
        learned = [p for name, part in clips.items() if name not in held_names for p in part]
        split = Split(learned, [p for name in held_names for p in clips[name]], True)
    elif len(clips) > 1:
        smallest = min(clips, key=lambda name: len(clips[name]))
        learned = [p for name, part in clips.items() if name != smallest for p in part]
        split = Split(learned, clips[smallest], True)
    else:
        cut = len(pictures) - round(target)
        split = Split(list(pictures[:cut]), list(pictures[cut:]), False)
    boxes = sum(len(p.boxes) for p in split.held)
    if len(split.learned) < MIN_EXAMPLES or boxes < MIN_EXAMPLES:
        raise ModelError(
            f"{len(pictures)} labelled pictures of {len(clips)} clips leave {len(split.learned)} to learn "
            f"from and {boxes} objects to measure by: label more, of at least two clips"
        )
    return split


def tune(
    model: ModelHandle,
    split: Split,
    folder: Path,
    *,
    steps: int | None,
    threads: int,
    device: str,
    rivals: Sequence[ModelHandle] = (),
) -> Tuned:
    """Train in `folder` and measure, also the `rivals`. Raises ModelError. The child draws its own progress
    bar on the terminal.
    """
    if not has_torch():
        raise ModelError(f"training needs torch: {INSTALL_TORCH}")
    before_detector = _open(model.path, model.card, threads)
    labels = before_detector.labels
    if tuple(labels.names) != CLASSES:
        raise ModelError(f"{model.name or model.path}: only the detector of this project can be tuned")
    size = (model.card.input_size or before_detector.describe()["input"])[0]
    before_parts = measure(before_detector, split.held, labels)
    others = {rival.display_name: _measure_rival(rival, split.held, labels, threads) for rival in rivals}
    count = steps or max(60, EPOCHS * len(split.learned) // PICTURES_A_STEP)
    path = _trained(model, split.learned, folder, steps=count, size=size, threads=threads, device=device)
    card = model.card.model_copy(update={"sha256": ""})
    after_parts = measure(_open(path, card, threads), split.held, labels)
    before, after = summary(before_parts, card.score), summary(after_parts, card.score)
    if after.boxes < MIN_BOXES_TO_CHOOSE:
        return Tuned(path, before, None, after, others)
    return Tuned(path, before, _balanced(before, before_parts), _balanced(after, after_parts), others)


def _trained(
    model: ModelHandle,
    learned: Sequence[LabelledPicture],
    folder: Path,
    *,
    steps: int,
    size: int,
    threads: int,
    device: str,
) -> Path:
    data, out = folder / "data", folder / "run"
    write_data(learned, data)
    words = ["--model", str(model.path), "--data", str(data), "--out", str(out), "--steps", str(steps)]
    words += ["--size", str(size), "--score", str(model.card.score), "--batch", str(PICTURES_A_STEP)]
    _train([*words, "--threads", str(threads), "--device", device, "--quiet"])  # the file goes
    return out / "model.onnx"


def _measure_rival(
    rival: ModelHandle, held: Sequence[LabelledPicture], labels: Labels, threads: int
) -> Agreement:
    detector = open_detector("auto", rival, threads=threads, score=MIN_AP_SCORE)
    return summary(measure(detector, held, labels), rival.card.score)


def _balanced(agreement: Agreement, parts: Sequence[Matched]) -> Agreement:
    """At the threshold where precision and recall balance."""
    score = best_score(parts)
    precision, recall = at_score(parts, score)
    return replace(agreement, score=score, precision=precision, recall=recall)


def card_after(card: ModelCard, score: float) -> ModelCard:
    """Of the tuned model: the card it was made with, with the threshold that was chosen, and that of low
    boxes at the same share of it.
    """
    low = None if card.low_score is None else round(card.low_score * score / card.score, 2)
    return card.model_copy(update={"sha256": "", "score": score, "low_score": low})


def measure(detector: Detector, held: Sequence[LabelledPicture], labels: Labels) -> list[Matched]:
    """Against what was labelled with `labels`; what the detector finds of other classes is left out. Raises
    ModelError.
    """
    samples = [SampleFrame(shrunk(p.image), p.clip, 0.0) for p in held]
    truth = [
        Detections(p.boxes.boxes_xyxyn, np.ones(len(p.boxes), np.float32), p.boxes.class_ids) for p in held
    ]
    sizes = [(p.image.shape[1], p.image.shape[0]) for p in held]
    detections = [_renamed(each, detector.labels, labels) for each in detect_all(detector, samples)]
    return matched(truth, detections, labels, sizes)


def _renamed(detections: Detections, own: Labels, labels: Labels) -> Detections:
    """With the class ids of `labels`, by the names."""
    ids = {name: i for i, name in enumerate(labels.names)} | {None: -1}
    class_ids = np.array([ids[find(name, labels.names)] for name in own.names], np.int32)[
        detections.class_ids
    ]
    labelled = class_ids >= 0
    return Detections(detections.boxes_xyxyn[labelled], detections.scores[labelled], class_ids[labelled])


def write_data(learned: Sequence[LabelledPicture], folder: Path) -> None:
    """The pictures as the training reads them; every clip counts alike."""
    counts = {p.clip: 0 for p in learned}
    with DatasetWriter(folder, side=SIDE) as writer:
        for p in learned:
            counts[p.clip] += 1
            high, wide = p.image.shape[:2]
            scale = np.array([wide, high, wide, high], np.float32)
            writer.add(p.image, Labelled.of(p.boxes.boxes_xyxyn * scale, p.boxes.class_ids), p.clip)


def _open(path: Path, card: ModelCard, threads: int) -> Detector:
    try:
        return create_detector("openvino", path, sidecar=card, threads=threads, score=MIN_AP_SCORE)
    except ModelRefused as error:
        raise ModelError(str(error)) from error


def _train(words: list[str]) -> None:
    command = [sys.executable, "-m", "pipelines.train.detector.tune", *words]
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    # What the child says and draws is for the person; standard output is for figures.
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdout=sys.__stderr__,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        how = lines[-1].removeprefix("error: ") if lines else f"ended with {done.returncode}"
        raise ModelError(f"the training failed: {how}")
