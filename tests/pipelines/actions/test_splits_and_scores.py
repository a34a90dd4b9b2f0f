"""Nothing leaks between the sides of a split, and scores say what they say."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.train.actions.data import ActionData, DataRefused, HeadTargets, LabelledSequence, one_hot
from pipelines.train.actions.score import (
    per_sequence,
    score,
    score_several,
    temperature,
    thresholds,
    wilson,
)
from pipelines.train.actions.split import check_apart, check_classes, fold_of, hold_back

HEAD = HeadTargets("action", ("a", "b"))


def data(rows: list[tuple[str, str, str]], grouped: bool = True) -> ActionData:
    """Rows of (group, label, split)."""
    items = [
        LabelledSequence(
            str(i), group, split, np.zeros((4, 3), np.float32), np.arange(4) / 8,
            (one_hot([label] * 4, HEAD.labels, False, "test"),),
        )
        for i, (group, label, split) in enumerate(rows)
    ]  # fmt: skip
    return ActionData("features", 3, (HEAD,), tuple(items), grouped=grouped)


MANY = [(f"g{i % 10}", "ab"[i % 2], "") for i in range(60)]


def test_a_group_never_stands_on_both_sides() -> None:
    for seed in range(5):
        rest, held = hold_back(data(MANY), 0.2, seed)
        assert not {s.group for s in rest.sequences} & {s.group for s in held.sequences}
        assert 6 <= len(held.sequences) <= 18


def test_every_group_is_held_back_once_in_a_cross_validation() -> None:
    items = data(MANY).sequences
    folds = fold_of(items, 5, 0)
    for group in {s.group for s in items}:
        assert len({int(f) for s, f in zip(items, folds, strict=True) if s.group == group}) == 1
    assert set(folds.tolist()) == set(range(5))


@pytest.mark.parametrize(
    ("found", "apart", "why"),
    [
        (data([("x", "a", "train"), ("x", "b", "test")]), False, "stands in test and train"),
        (data(MANY, grouped=False), False, "a random split over clips"),
    ],
)
def test_a_split_that_would_leak_is_refused(found: ActionData, apart: bool, why: str) -> None:
    with pytest.raises(DataRefused, match=why):
        check_apart(found, apart)


def test_clips_that_are_apart_by_the_users_word_are_taken() -> None:
    check_apart(data(MANY, grouped=False), apart=True)


def test_a_class_with_one_clip_is_refused() -> None:
    with pytest.raises(DataRefused, match="label 'b' is in 1 clip"):
        check_classes(data([("x", "a", ""), ("y", "a", ""), ("z", "b", "")]))


def test_a_label_that_is_not_in_the_set_is_refused() -> None:
    with pytest.raises(DataRefused, match="'c' is none of a, b"):
        one_hot(["a", "c"], ("a", "b"), False, "file.csv")


def test_accuracy_and_f1_of_a_known_table() -> None:
    truth = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    said = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]], np.float32)
    found = score(("a", "b"), said, truth)
    assert found.accuracy == 0.75
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-3)
    assert found.confusion.tolist() == [[2, 1], [0, 1]]


def test_rows_of_unknown_truth_are_left_out() -> None:
    truth = np.array([[1, 0], [np.nan, np.nan]], np.float32)
    assert score(("a", "b"), np.array([[1, 0], [1, 0]], np.float32), truth).n == 1


def test_labels_that_hold_together_are_scored_each_for_itself() -> None:
    truth = np.array([[1, 1], [1, 0], [0, 1], [np.nan, np.nan]], np.float32)
    said = np.array([[0.9, 0.8], [0.7, 0.6], [0.2, 0.9], [0.9, 0.9]], np.float32)
    found = score_several(("a", "b"), said, truth)
    assert (found.exact, found.n) == (2, 3)
    assert [(row["precision"], row["recall"]) for row in found.per_class()] == [(1, 1), (0.6667, 1)]


def test_the_interval_is_wilsons() -> None:
    low, high = wilson(150, 176)
    assert (round(low, 3), round(high, 3)) == (0.792, 0.897)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_clip_is_judged_by_the_mean_of_its_windows() -> None:
    said = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], np.float32)
    means, index = per_sequence(said, np.array([4, 4, 7]))
    assert index.tolist() == [4, 7]
    assert means[0].tolist() == pytest.approx([0.55, 0.45])


def test_overconfident_answers_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    truth = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 500)]
    right = rng.random(500) < 0.8
    logits = np.where(right[:, None], truth, 1 - truth).astype(np.float32) * 12
    cooled = temperature(logits, truth, several=False)
    sure = 1 / (1 + np.exp(-12 / cooled))
    assert 0.75 < sure < 0.85


def test_a_label_that_is_often_wrong_gets_a_higher_threshold() -> None:
    p = np.linspace(0, 1, 200, dtype=np.float32)
    truth = (p > 0.8).astype(np.float32)
    (high, _) = thresholds(np.stack([p, 1 - p], axis=1), np.stack([truth, 1 - truth], axis=1))
    assert 0.75 <= high <= 0.85
