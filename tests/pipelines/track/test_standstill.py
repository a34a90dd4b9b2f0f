"""Whether all that is followed stands; and that what stands is told the same when it is seldom looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Detector
from pipelines.pipeline import Pipeline
from pipelines.track import create_tracker
from pipelines.track.standstill import STANDS_S
from pipelines.values import Detections, Labels, Stamp

LABELS = Labels(("person", "car"), ("person", "vehicle"))
FPS = 10
GLANCE_FRAMES = 8  # of what stands still one frame in so many is looked at
CHANCE = np.random.default_rng(4)


def stamp(frame: int) -> Stamp:
    ns = round(frame / FPS * 1e9)
    return Stamp("yard", 1, frame, ns, ns, 0)


def boxes(*centres: tuple[float, float], trembling: float = 0.002) -> Detections:
    rows = [[x - 0.05, y - 0.1, x + 0.05, y + 0.1] for x, y in centres]
    table = np.array(rows, np.float32).reshape(-1, 4)
    table += CHANCE.normal(0, trembling, table.shape).astype(np.float32)
    return Detections(table, np.full(len(rows), 0.9, np.float32), np.full(len(rows), 1, np.int32))


def stands(frames: Iterable[Detections]) -> list[bool]:
    tracker = create_tracker()
    told = []
    for number, found in enumerate(frames):
        tracker.update(stamp(number), found, LABELS)
        told.append(tracker.stands_still)
    return told


def test_a_parked_car_stands_after_a_while_and_not_before() -> None:
    told = stands(boxes((0.5, 0.5)) for _ in range(20 * FPS))
    assert not any(told[: int(STANDS_S * FPS)])
    assert all(told[int(STANDS_S * FPS) + 2 :])


def test_an_empty_place_and_one_where_somebody_creeps_along_do_not_stand_still() -> None:
    assert not any(stands(boxes() for _ in range(20 * FPS)))
    assert not any(stands(boxes((0.1 + 0.002 * n, 0.5)) for n in range(20 * FPS)))


def test_who_comes_beside_a_parked_car_ends_the_standstill_with_his_first_box() -> None:
    parked = [boxes((0.5, 0.5)) for _ in range(15 * FPS)]
    told = stands([*parked, boxes((0.5, 0.5), (0.1, 0.5))])
    assert (told[-2], told[-1]) == (True, False)


def test_what_is_found_now_and_then_under_new_ids_stands_and_is_remembered() -> None:
    flickering = [boxes((0.5, 0.5)) if number % 20 < 4 else boxes() for number in range(30 * FPS)]
    told = stands(flickering)
    assert told[-20:-16] == [True] * 4
    gone = stands([*flickering, *[boxes() for _ in range(70 * FPS)], boxes((0.5, 0.5))])
    assert not gone[-1]


# ---- glanced at


class NoDetector(Detector):
    """Its boxes are given."""

    labels = LABELS

    def __init__(self) -> None:
        pass

    def forget(self, camera: str) -> None:
        pass


RULES = CameraRules.model_validate(
    {
        "lines": [{"name": "kerb", "points": [[0.5, 0.0], [0.5, 1.0]]}],
        "zones": [{"name": "bay", "points": [[0.55, 0.2], [0.9, 0.2], [0.9, 0.8], [0.55, 0.8]]}],
        "dwells": [{"name": "long", "zone": "bay", "after_s": [30, 60]}],
    }
)
COMES, STAYS, GOES = 4 * FPS, 104 * FPS, 108 * FPS


def place(frame: int) -> float | None:
    """Over the line into the bay, there for a hundred seconds, and back."""
    if frame < COMES:
        return 0.1 + 0.6 * frame / COMES
    if frame < STAYS:
        return 0.7
    return 0.7 - 0.6 * (frame - STAYS) / (GOES - STAYS) if frame < GOES else None


def events(glances: bool) -> tuple[list[tuple[str, str, Any]], list[Any]]:
    """By type, subject and track; and when or how long they say."""
    pipeline = Pipeline(NoDetector())
    pipeline.open_camera("yard", RULES)
    told = []
    for frame in range(GOES + 3 * FPS):
        x = place(frame)
        if glances and frame < STAYS and pipeline.stands_still("yard") and frame % GLANCE_FRAMES:
            continue
        told += pipeline.advance(stamp(frame), boxes() if x is None else boxes((x, 0.5))).events
    told = [e for e in told if "track.ended" not in e.type]
    kinds = [(e.type, e.subject, e.data.get("track_id")) for e in told]
    spans = [e.data.get("dwell_s", e.data.get("crossed_media_ns", 0) / 1e9) for e in told]
    return kinds, spans


def test_crossings_zones_and_dwell_are_the_same_where_what_stands_is_glanced_at() -> None:
    (every, every_s), (seldom, seldom_s) = events(glances=False), events(glances=True)
    assert len([kind for kind in every if "line.crossed" in kind[0]]) == 2
    assert len([kind for kind in every if "dwell" in kind[0]]) == 2
    assert seldom == every
    assert seldom_s == pytest.approx(every_s, abs=GLANCE_FRAMES / FPS)
