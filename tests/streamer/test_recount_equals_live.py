"""Lines and zones counted live and counted again from the stored paths: at least 99 % are the same crossings.

The same means: the same track, line, direction and class, within a quarter of a second. Differences are
printed, each with its line and track; what is left over on either side counts as one.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from pipelines.camera_rules import CameraRules
from pipelines.count.trajectory_codec import decode
from pipelines.count.zone_replay import recount_visits
from pipelines.events import TRACK_ENDED, ZONE_ENTERED, ZONE_EXITED
from pipelines.registry import create_detector
from pipelines.rules import ZoneSpec
from pipelines.values import Labels
from streamer.clips.stored_detections import load_detections
from streamer.sources.synthetic import Scene
from tests.bench.counting.data import Sequence, load
from tests.moving import write_moving_clip
from tests.recounting import WITHIN_S, Comparison, Found, compare, live, of_clip, of_sequence
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


def test_visits_of_zones_are_counted_again_as_they_were(tmp_path: Path) -> None:
    """Of a zone in which the street's people stand and turn, and of one that all of the squares pass."""
    stored = load_detections(DETECTIONS)
    clip = write_moving_clip(tmp_path / "moving.mp4", 20.0)
    detector = create_detector("motion", None)
    street = visits(stored.frames(), stored.labels, MIDDLE)
    squares = visits(of_clip(str(clip), detector), detector.labels, MIDDLE)
    assert min(sum(map(len, once.values())) for once, _ in (street, squares)) >= 20
    for once, again in (street, squares):
        assert {key: len(times) for key, times in once.items()} == {k: len(t) for k, t in again.items()}
        for key, times in once.items():
            assert again[key] == pytest.approx(times, abs=WITHIN_S), key


MIDDLE = ZoneSpec(name="middle", points=((0.35, 0.2), (0.65, 0.2), (0.65, 0.9), (0.35, 0.9)))


Visits = dict[tuple[int, str, str], list[float]]  # when each track, of a class, entered and exited


def visits(found: Found, labels: Labels, zone: ZoneSpec) -> tuple[Visits, Visits]:
    """Live, and again from the paths."""
    once: Visits = defaultdict(list)
    again: Visits = defaultdict(list)
    for event in live(found, labels, CameraRules(zones=(zone,))):
        data = event.data
        if event.type in (ZONE_ENTERED, ZONE_EXITED):
            way = "entered" if event.type == ZONE_ENTERED else "exited"
            once[data["track_id"], data["class"], way].append(data["changed_media_ns"] / 1e9)
        elif event.type == TRACK_ENDED and "trace" in data:
            for visit in recount_visits(decode(data["trace"]), zone):
                key = (data["track_id"], visit.class_name, "entered" if visit.entered else "exited")
                again[key].append(data["first_media_ns"] / 1e9 + visit.time_s)
    return once, again


@pytest.mark.slow
def test_busy_synthetic_streets_are_counted_again() -> None:
    """Several, for one place at the very edge of a band may be two differences: there and back."""
    detector = create_detector("motion", None)
    scenes = [
        Scene(seed=seed, width=640, height=360, fps=10.0, density=1.0, mast=8.0, seconds=60)
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
