"""Lines counted live and lines counted again from the stored paths: at least 99 % are the same crossings.

The same means: the same track, line, direction and class, within a quarter of a second. Differences are
printed, each with its line and track; what is left over on either side counts as one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.registry import create_detector
from pipelines.values import Labels
from streamer.clips.stored_detections import load_detections
from streamer.sources.synthetic import Scene
from tests.bench.counting.data import Sequence, load
from tests.moving import write_moving_clip
from tests.recounting import Comparison, compare, of_clip, of_sequence
from tests.replay.record import DETECTIONS

MIN_AGREEMENT = 0.99
PERSON = Labels(("person",), ("person",))


def check(found: list[Comparison], least_crossings: int) -> None:
    """Print every difference, and hold them to 1 % of the crossings."""
    live = sum(c.live for c in found)
    differences = [line for c in found for line in c.differences()]
    print(f"{live} crossings live, {len(differences)} differences", *differences, sep="\n")
    assert live >= least_crossings
    assert len(differences) <= (1 - MIN_AGREEMENT) * live, "\n".join(differences)


def test_moving_squares_are_counted_again_without_a_difference(tmp_path: Path) -> None:
    clip = write_moving_clip(tmp_path / "moving.mp4", 20.0)
    detector = create_detector("motion", None)
    result = compare("moving", of_clip(str(clip), detector), detector.labels)
    check([result], 60)
    assert result.differences() == []


def test_the_stored_street_is_counted_again() -> None:
    stored = load_detections(DETECTIONS)
    check([compare("street", stored.frames(), stored.labels)], 35)


@pytest.mark.slow
def test_busy_synthetic_streets_are_counted_again() -> None:
    """Several, for one place at the very edge of a band may be two differences: there and back."""
    detector = create_detector("motion", None)
    scenes = [
        Scene(seed=seed, width=640, height=360, fps=15.0, density=1.0, mast=8.0, seconds=60)
        for seed in (11, 12, 13, 14)
    ]
    check([compare(scene.url, of_clip(scene.url, detector), detector.labels) for scene in scenes], 320)


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2], ids=["every frame", "every second frame"])
def test_public_sequences_are_counted_again(corpus: Path, step: int) -> None:
    """Pedestrians and cars, still and moving cameras, noisy boxes: the worst case for stored paths. And, at
    the full rate, a street by a real detector, whose 41 crossings are too few for a share of their own."""
    sequences: list[Sequence] = [*load("MOT15 first", corpus), *load("KITTI first", corpus)]
    found = [compare(s.name, of_sequence(s, step), PERSON) for s in sequences]
    check([*found, *(_street(corpus) if step == 1 else [])], 1000)


def _street(corpus: Path) -> list[Comparison]:
    clip = "street-cars.mp4"
    detector = create_detector("auto", corpus / "weights" / "yolo11n_320.onnx")
    frames = of_clip(str(corpus / "videos" / clip), detector)
    return [compare(clip, frames, detector.labels, classes=("vehicle",))]
