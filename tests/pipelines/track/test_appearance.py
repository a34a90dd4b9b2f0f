"""Looks decide where places do not, and never bring together what is far apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipelines.track import Tracker, create_tracker
from pipelines.track.appearance import AppearanceModel
from pipelines.values import Detections, Floats, Labels, Stamp, Tracks

LABELS = Labels(("person",), ("person",))
RED, BLUE = np.array([1.0, 0.1, 0.0]), np.array([0.0, 0.2, 3.0])  # lengths do not matter


def feed(tracker: Tracker, frame: int, places: list[float], looks: list[np.ndarray] | None) -> Tracks:
    """Boxes of 0.08 x 0.4 side by side, one a place."""
    n = len(places)
    boxes = np.array([[x - 0.04, 0.3, x + 0.04, 0.7] for x in places], np.float32).reshape(-1, 4)
    seen = None if looks is None else np.array(looks, np.float32)
    ns = frame * 100_000_000
    found = Detections(boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int32), seen)
    return tracker.update(Stamp("door", 1, frame, ns, ns, 0), found, LABELS)


def id_at(tracks: Tracks, place: float) -> int:
    middle = (tracks.boxes_xyxyn[:, 0] + tracks.boxes_xyxyn[:, 2]) / 2
    return int(tracks.track_ids[np.abs(middle - place).argmin()])


def turn_behind_a_post(tracker: Tracker, with_looks: bool) -> bool:
    """Red and blue walk towards each other, meet behind a post, are seen again and turn back: same ids?"""
    red, blue = 0.40, 0.60
    before: tuple[int, int] = (0, 0)
    for frame in range(35):
        step = 0.006 if frame < 15 else -0.006 if frame >= 24 else 0.0
        red, blue = red + step, blue - step
        hidden = 14 <= frame < 21
        looks = [RED, BLUE] if with_looks else None
        tracks = feed(tracker, frame, [] if hidden else [red, blue], None if hidden else looks)
        if frame == 13:
            before = id_at(tracks, red), id_at(tracks, blue)
    return (id_at(tracks, red), id_at(tracks, blue)) == before


def test_two_who_meet_behind_a_post_and_turn_back_are_told_apart_by_their_looks() -> None:
    assert turn_behind_a_post(create_tracker(), with_looks=True)
    assert not turn_behind_a_post(create_tracker(), with_looks=False)


def test_looks_bring_nobody_together_who_is_far_apart() -> None:
    tracker = create_tracker()
    for frame in range(6):
        first = feed(tracker, frame, [0.2], [RED])
    for frame in range(6, 12):
        second = feed(tracker, frame, [0.8], [RED])
    assert id_at(first, 0.2) != id_at(second, 0.8)


@pytest.mark.parametrize("look", [np.zeros(3), np.full(3, np.nan), np.full(3, np.inf)])
def test_an_embedding_that_says_nothing_is_as_none(look: np.ndarray) -> None:
    plain, odd = create_tracker(), create_tracker()
    for frame in range(10):
        places = [0.3 + 0.01 * frame, 0.5]
        a, b = feed(plain, frame, places, None), feed(odd, frame, places, [look, look])
        assert a.track_ids.tolist() == b.track_ids.tolist()


def test_a_model_of_another_length_begins_anew() -> None:
    tracker = create_tracker()
    for frame in range(6):
        feed(tracker, frame, [0.2, 0.5], [RED, BLUE])
    tracks = feed(tracker, 6, [0.2, 0.5], [np.ones(8), np.ones(8)])
    assert sorted(tracks.track_ids.tolist()) == [1, 2]


def test_a_restored_tracker_learns_the_looks_anew() -> None:
    first, second = create_tracker(), create_tracker()
    for frame in range(6):
        feed(first, frame, [0.2, 0.5], [RED, BLUE])
    second.restore(json.loads(json.dumps(first.save())))
    assert sorted(feed(second, 6, [0.2, 0.5], [RED, BLUE]).track_ids.tolist()) == [1, 2]


def test_looks_stay_with_their_tracks_when_others_go() -> None:
    looks = AppearanceModel(4)
    units = looks.normalise(np.array([RED, BLUE, RED], np.float32))
    assert units is not None
    looks.begin(slice(0, 3), units)
    for _ in range(12):
        looks.learn(np.array([0, 1], np.intp), units[:2])  # how unlike two are who are seen at once
    looks.keep(np.array([1], np.intp))
    alike = np.ones((1, 2), np.float32)
    looks.weigh(alike, units[:2], np.zeros(1, np.bool_))
    assert alike[0] == pytest.approx([0.5, 1.5], abs=0.01)
    alike[:] = 1.0
    looks.weigh(alike, units[:2], np.ones(1, np.bool_))  # who was lost must look like before
    assert alike[0] == pytest.approx([0.25, 1.5], abs=0.01)


def test_looks_count_for_nothing_before_two_were_seen_at_once() -> None:
    looks = AppearanceModel(2)
    units = looks.normalise(np.array([RED, BLUE], np.float32))
    assert units is not None
    looks.begin(slice(0, 2), units)
    for _ in range(50):
        looks.learn(np.array([0], np.intp), units[:1])
    for lost in (False, True):
        alike = np.ones((2, 2), np.float32)
        looks.weigh(alike, units, np.full(2, lost))
        assert (alike == 1.0).all()


def test_what_is_usual_at_a_camera_is_learnt() -> None:
    """Looks of one object that are 0.9 alike say the same where others are 0.8, as 0.5 where they are 0."""
    rng = np.random.default_rng(3)
    for others in (0.0, 0.8):
        looks = AppearanceModel(2)
        units: Floats | None = None
        common = np.sqrt(others) * np.array([0, 0, 1.0])
        pair = [common + np.sqrt(1 - others) * way for way in np.eye(3)[:2]]
        for _ in range(300):
            units = looks.normalise(
                np.array(pair, np.float32) + rng.normal(0, 0.01, (2, 3)).astype(np.float32)
            )
            assert units is not None
            looks.learn(np.array([0, 1], np.intp), units)
        assert units is not None
        similarity, known = looks.similarity(np.array([0, 1], np.intp), units)
        assert known.all()
        assert similarity == pytest.approx(np.eye(2), abs=0.05)


@pytest.mark.parametrize(("flicker", "tells"), [(0.0, True), (0.3, True), (1.1, False)])
def test_looks_that_change_from_frame_to_frame_say_nothing(flicker: float, tells: bool) -> None:
    """A light that goes on and off in turn: both look more like the other than like themselves before."""
    looks = AppearanceModel(2)
    light = np.array([0, 0, 1.0])
    units: Floats | None = None
    for frame in range(100):
        pair = [way + flicker * (1 if frame % 2 else -1) * light for way in np.eye(3)[:2]]
        units = looks.normalise(np.array(pair, np.float32))
        assert units is not None
        looks.learn(np.array([0, 1], np.intp), units)
    assert units is not None
    _, known = looks.similarity(np.array([0, 1], np.intp), units)
    assert known.all() == tells
