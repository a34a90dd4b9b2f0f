"""Who was lost between frames far apart goes on as the same where the looks say so, and only there."""

from __future__ import annotations

import numpy as np

from pipelines.track import Tracker, create_tracker
from pipelines.values import Detections, Labels, Stamp, Tracks

LABELS = Labels(("person", "car"), ("person", "vehicle"))
RED, BLUE, GREEN = np.eye(3) + 0.2
STEP_S = 0.4
Person = tuple[float, np.ndarray]


def feed(
    tracker: Tracker,
    frame: int,
    people: list[Person],
    *,
    low: float = 0.6,
    looks: bool = True,
    kind: int = 0,
) -> Tracks:
    """Boxes 0.04 wide, more or less, from 0.3 to `low`, by the middle of each and how it looks."""
    half = 0.02 + 0.004 * np.sin(2.3 * frame)
    boxes = [[x - half, 0.3, x + half, low] for x, _ in people]
    n = len(people)
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(n, 0.9, np.float32),
        np.full(n, kind, np.int32),
        np.array([look for _, look in people], np.float32).reshape(n, 3) if looks else None,
    )
    ns = round(frame * STEP_S * 1e9)
    return tracker.update(Stamp("door", 1, frame, ns, ns, 0), found, LABELS)


def meet(tracker: Tracker, looks: bool) -> int:
    """Red and blue sway on the spot until the camera knows how much looks say; the next frame's number."""
    for frame in range(16):
        sway = 0.012 * np.sin(1.3 * frame)
        feed(tracker, frame, [(0.2 + sway, RED), (0.8 - sway, BLUE)], looks=looks)
    return 16


def ids_of(tracks: Tracks) -> dict[float, int]:
    middles = (tracks.boxes_xyxyn[:, 0] + tracks.boxes_xyxyn[:, 2]) / 2
    shown = tracks.observed
    return {round(float(x), 2): int(k) for x, k in zip(middles[shown], tracks.track_ids[shown], strict=True)}


def jump(looks: bool, other: np.ndarray = RED, far: float = 0.06) -> set[int]:
    """Red, who stood at 0.2, is `far` away in the next frame, beyond any overlap; all ids from then on."""
    tracker = create_tracker()
    frame = meet(tracker, looks)
    after: set[int] = set()
    for n in range(5):
        tracks = feed(tracker, frame + n, [(0.2 + far, other), (0.8, BLUE)], looks=looks)
        after |= set(ids_of(tracks).values())
    return after


def test_who_jumps_beyond_its_prediction_is_known_by_the_looks() -> None:
    assert jump(looks=True) == {1, 2}
    assert jump(looks=False) == {2, 3}


def test_who_looks_otherwise_or_is_too_far_is_somebody_else() -> None:
    assert 1 not in jump(looks=True, other=GREEN)
    assert 1 not in jump(looks=True, far=0.45)


def test_of_two_who_look_alike_nobody_is_guessed() -> None:
    tracker = create_tracker()
    frame = meet(tracker, looks=True)
    ids: set[int] = set()
    for n in range(5):
        ids |= set(ids_of(feed(tracker, frame + n, [(0.268, RED), (0.272, RED), (0.8, BLUE)])).values())
    assert 1 not in ids


def after_alone(first: list[Person], then: list[Person], kind: int = 0) -> set[int]:
    """The ids after `first` has swayed on the spot and `then` is there."""
    tracker = create_tracker()
    for frame in range(16):
        sway = 0.012 * np.sin(1.3 * frame)
        feed(tracker, frame, [(x + sway, look) for x, look in first])
    ids: set[int] = set()
    for frame in range(16, 22):
        ids |= set(ids_of(feed(tracker, frame, then, kind=kind)).values())
    return ids


def test_a_camera_that_never_saw_two_at_once_knows_nothing_of_looks() -> None:
    assert after_alone([(0.2, RED)], [(0.26, RED)]) == {2}
    assert after_alone([(0.2, RED), (0.8, BLUE)], [(0.26, RED)]) == {1}


def test_where_all_look_alike_looks_say_nothing() -> None:
    assert after_alone([(0.2, RED), (0.8, RED)], [(0.26, RED)]) == {3}


def test_a_box_of_another_class_is_somebody_else() -> None:
    assert after_alone([(0.2, RED), (0.8, BLUE)], [(0.26, RED)], kind=1) == {3}


def test_a_box_of_another_height_is_somebody_else() -> None:
    tracker = create_tracker()
    frame = meet(tracker, looks=True)
    ids: set[int] = set()
    for n in range(6):
        ids |= set(ids_of(feed(tracker, frame + n, [(0.26, RED)], low=0.48)).values())
    assert 1 not in ids
