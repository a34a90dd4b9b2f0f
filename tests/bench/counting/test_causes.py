"""The causes of counting errors on a walk over the line whose truth is cut or whose boxes are taken away."""

from __future__ import annotations

import numpy as np

from tests.bench.counting import causes
from tests.bench.counting.data import Sequence
from tests.bench.counting.ours import line_events

FRAMES, CROSSES = 60, 30  # the walk is at the middle at this frame


def walk(*, true_from: int = 0, hidden: tuple[int, int] = (0, 0)) -> Sequence:
    """One person who walks to the right over the vertical line, above the horizontal one."""
    x = 200.0 + 10.0 * np.arange(FRAMES)
    boxes = np.column_stack([x - 20, np.full(FRAMES, 100.0), x + 20, np.full(FRAMES, 200.0)])
    frames = np.arange(FRAMES, dtype=float)
    truth = np.column_stack([frames, np.ones(FRAMES), boxes])[true_from:]
    found = np.column_stack([frames, boxes, np.full(FRAMES, 0.95)])
    found = found[(frames < hidden[0]) | (frames >= hidden[1])]
    return Sequence("made", "walk", 1000, 500, 10.0, 0, FRAMES - 1, truth, found)


def test_a_crossing_that_is_counted_has_no_cause() -> None:
    assert causes.causes(walk()) == ([], [])


def test_an_object_annotated_after_it_crossed_is_told_apart_from_an_error() -> None:
    assert causes.causes(walk(true_from=CROSSES + 8)) == ([], [causes.OUTSIDE])


def test_boxes_of_nobody_are_told() -> None:
    sequence = walk(true_from=FRAMES - 2)
    sequence.truth[:, 2:6] += 400.0
    assert causes.causes(sequence) == ([], [causes.NOBODY])


def test_a_crossing_without_boxes_is_told() -> None:
    assert causes.causes(walk(hidden=(8, FRAMES))) == ([causes.NO_BOX], [])


def test_perfect_identities_count_what_the_boxes_show() -> None:
    (event,) = line_events(causes.with_true_ids(walk()))
    assert event.data["track_id"] == 1
    assert event.data["direction"] == "greater"
