"""Training pictures made of stored ones: what is drawn is what the labels say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.train.detector.augment import Augmenter, Recipe, cut, degrade, flip, recolour, tidy
from pipelines.train.detector.copy_paste import (
    Cutouts,
    cut_out,
    hide,
    paste_some,
    worth_cutting,
    write_cutouts,
)
from pipelines.train.detector.dataset import Dataset, DatasetWriter, Labelled
from pipelines.values import Image

PLAIN = Recipe(mosaic=0.0, paste=0.0, degrade=0.0)
MOSAIC = Recipe(mosaic=1.0, paste=0.0, degrade=0.0)
CLOSE = Recipe(mosaic=0.0, paste=0.0, degrade=0.0, close=1.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Pictures of one bright square each on black."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(3)
    with DatasetWriter(folder) as writer:
        for _ in range(8):
            image = np.zeros((240, 320, 3), np.uint8)
            x, y = (int(v) for v in random.integers(20, 120, 2))
            image[y : y + 90, x : x + 90] = 255
            writer.add(image, Labelled.of([[x, y, x + 90, y + 90]], [2]), "squares")
    return Dataset(folder)


@pytest.mark.parametrize("recipe", [PLAIN, MOSAIC, CLOSE])
def test_labels_lie_where_the_objects_are_drawn(data: Dataset, recipe: Recipe) -> None:
    augmenter = Augmenter(data, None, recipe, seed=1)
    seen = 0
    for number in range(24):
        image, labels, _ = augmenter.sample(number, 256)
        assert image.shape == (256, 256, 3)
        grey = image.astype(np.float32).mean(axis=2)
        low, high = np.percentile(grey, (1, 99.9))
        for x1, y1, x2, y2 in labels.objects().boxes:
            inside = grey[round(y1) + 2 : round(y2) - 2, round(x1) + 2 : round(x2) - 2]
            if inside.size < 60:
                continue
            seen += 1
            assert (inside > (low + high) / 2).mean() > 0.9
    assert seen > 10


def test_objects_are_brought_near(data: Dataset) -> None:
    augmenter = Augmenter(data, None, CLOSE, seed=1)
    sides = []
    for number in range(24):
        boxes = augmenter.sample(number, 256).labels.boxes
        sides += list((boxes[:, 2:] - boxes[:, :2]).max(axis=1))
    assert len(sides) == 24
    assert min(sides) > 256 * 0.25
    assert max(sides) > 256 * 0.6


def test_near_people_stand_in_the_picture_by_half_at_least(tmp_path: Path) -> None:
    cutouts = one_figure(tmp_path)
    tall = 0
    for seed in range(60):
        wall = np.full((256, 256, 3), 120, np.uint8)
        boxes = paste_some(wall, Labelled.of(), cutouts, np.random.default_rng(seed)).boxes
        tall += int(((boxes[:, 3] - boxes[:, 1]) > 0.5 * 256).sum())
    assert tall > 5


def test_a_sample_depends_on_seed_and_number_alone(data: Dataset) -> None:
    recipe = Recipe(degrade=1.0)
    one, two = Augmenter(data, None, recipe, seed=5), Augmenter(data, None, recipe, seed=5)
    later, *_ = two.sample(11, 128)
    two.sample(3, 128)
    again, labels, _ = one.sample(11, 128)
    assert np.array_equal(later, again)
    assert labels.boxes.dtype == np.float32
    assert not np.array_equal(again, Augmenter(data, None, recipe, seed=6).sample(11, 128).image)


def test_what_is_cut_to_a_sliver_is_ignored_not_taught() -> None:
    labels = Labelled.of([[0, 0, 100, 100], [90, 0, 190, 100], [200, 0, 300, 100]], [0, 3, 4])
    left = cut(labels, (0, 0, 100, 100))
    assert left.classes.tolist() == [0, -1]
    assert left.ignore.tolist() == [0, 1 << 3]
    assert left.boxes[1].tolist() == [90, 0, 100, 100]


def test_a_person_cut_from_below_is_known_by_head_and_shoulders() -> None:
    boxes = [[10, 70, 30, 150], [60, -50, 80, 30], [85, 60, 125, 100]]
    labels = cut(Labelled.of(boxes, [0, 0, 0]), (0, 0, 100, 100))
    assert labels.classes.tolist() == [0, -1, -1]
    assert cut(Labelled.of(boxes[:1], [2]), (0, 0, 100, 100)).classes.tolist() == [-1]


def test_what_is_too_small_to_see_is_ignored() -> None:
    left = tidy(Labelled.of([[10, 10, 12, 20], [30, 30, 40, 50]], [0, 0]), 64)
    assert left.classes.tolist() == [-1, 0]
    assert left.ignore.tolist() == [1, 0]


def test_a_mirrored_picture_mirrors_its_boxes() -> None:
    image = np.zeros((40, 100, 3), np.uint8)
    image[10:20, 5:25] = 200
    mirrored, labels = flip(image, Labelled.of([[5, 10, 25, 20]], [0]))
    assert labels.boxes.tolist() == [[75, 10, 95, 20]]
    assert (mirrored[10:20, 75:95] == 200).all()


def test_colours_and_faults_keep_the_shape() -> None:
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (64, 96, 3), np.uint8)
    for _ in range(30):
        changed = degrade(recolour(image, random), random)
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8


def figure(height: int = 120) -> tuple[Image, list[float]]:
    """A red figure on a grey wall, and its box."""
    random = np.random.default_rng(2)
    image = np.full((200, 200, 3), 120, np.uint8) + random.integers(0, 9, (200, 200, 3), np.uint8)
    middle = 100, 100
    cv2.ellipse(image, middle, (26, height // 2), 0, 0, 360, (20, 20, 220), -1)
    return image, [74, 100 - height / 2, 127, 101 + height / 2]


def one_figure(folder: Path) -> Cutouts:
    image, box = figure()
    piece = cut_out(image, np.array(box, np.float32))
    assert piece is not None
    write_cutouts(folder / "cutouts.npz", [piece], [0])
    return Cutouts(folder / "cutouts.npz")


def test_an_object_is_cut_out_along_its_outline() -> None:
    image, box = figure()
    piece = cut_out(image, np.array(box, np.float32))
    assert piece is not None
    assert piece.shape == (121, 53, 4)
    assert piece[60, 26, 3] == 255
    assert piece[3, 3, 3] == 0  # a corner is wall
    assert 0.6 < (piece[..., 3] > 127).mean() < 0.9


def test_a_plain_wall_gives_no_outline() -> None:
    wall = np.full((200, 200, 3), 120, np.uint8)
    assert cut_out(wall, np.array([60, 60, 120, 160], np.float32)) is None


def test_only_whole_free_objects_are_worth_cutting() -> None:
    labels = Labelled.of(
        [[50, 50, 90, 150], [0, 0, 60, 45], [120, 20, 180, 90], [150, 20, 190, 90], [5, 160, 15, 170]],
        [0, 0, 2, 0, 0],
    )
    assert worth_cutting(labels, 200, 200) == [0]


def test_pasted_people_come_with_boxes(tmp_path: Path) -> None:
    cutouts = one_figure(tmp_path)
    total = 0
    for seed in range(20):
        wall = np.full((256, 256, 3), 120, np.uint8)
        labels = paste_some(wall, Labelled.of(), cutouts, np.random.default_rng(seed))
        red = wall[..., 2].astype(int) - wall[..., 0] > 50
        drawn = red.copy()
        for x1, y1, x2, y2 in labels.objects().boxes.astype(int):
            total += 1
            assert drawn[y1:y2, x1:x2].any()
            red[y1 : y2 + 1, x1 : x2 + 1] = False
        for x1, y1, x2, y2 in labels.boxes[labels.ignore != 0].astype(int):
            red[y1 : y2 + 1, x1 : x2 + 1] = False
        assert red.sum() <= 0.05 * drawn.sum()  # of one that others hide nearly whole
    assert total > 5


def test_what_is_hidden_is_forgotten_or_ignored() -> None:
    labels = Labelled.of([[0, 0, 10, 10], [0, 0, 14, 10], [50, 50, 60, 60]], [0, 2, 0])
    left = hide(labels, np.array([0, 0, 10, 10], np.float32))
    assert left.classes.tolist() == [-1, 0]
    assert left.ignore.tolist() == [1 << 2, 0]
