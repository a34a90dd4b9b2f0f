"""A teacher's answers, cell by cell: read from the graph, and what they change in the loss. Needs torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[torch]'")
pytest.importorskip("onnx", reason="needs onnx")

from pipelines.detect.errors import ModelRefused  # noqa: E402
from pipelines.train.detector.augment import TrainingSample  # noqa: E402
from pipelines.train.detector.batches import collate  # noqa: E402
from pipelines.train.detector.dataset import CLASSES, Labelled  # noqa: E402
from pipelines.train.detector.distillation import Teacher  # noqa: E402
from pipelines.train.detector.label_assignment import assign  # noqa: E402
from pipelines.train.detector.loss import BatchLabels, cell_centres, decode, detection_loss  # noqa: E402
from tests.pipelines.detect import tiny_models as tiny  # noqa: E402

SIZE = 64
CELLS = 8 * 8 + 4 * 4 + 2 * 2
CELL = 64 + 6  # of stride 16, in column 2 and row 1


def nothing_labelled(taught: float, cell: int = CELL) -> BatchLabels:
    """One picture without labels, of which a teacher is sure by `taught` about a car in `cell`."""
    scores = torch.zeros(1, 6, CELLS)
    scores[0, 2, cell] = taught
    boxes = torch.zeros(1, CELLS, 4)
    boxes[0, cell] = torch.tensor([24.0, 8.0, 56.0, 40.0])
    none = torch.zeros(1, 0, dtype=torch.int64)
    return BatchLabels(torch.zeros(1, 0, 4), none, torch.zeros(1, 0, 4), none, scores, boxes)


def slopes(truth: BatchLabels) -> tuple[np.ndarray, np.ndarray]:
    """What the loss asks of the class logits (6, cells) and of the distances (64, cells)."""
    logits = torch.full((1, 6, CELLS), -2.0, requires_grad=True)
    distances = torch.zeros(1, 64, CELLS, requires_grad=True)
    detection_loss(logits, distances, truth, (SIZE, SIZE)).total.backward()
    assert logits.grad is not None
    assert distances.grad is not None
    return logits.grad[0].numpy(), distances.grad[0].numpy()


def test_what_a_teacher_is_sure_of_is_raised_and_its_box_taught() -> None:
    scores, boxes = slopes(nothing_labelled(0.8))
    assert scores[2, CELL] < 0  # a higher score lowers the loss
    scores[2, CELL] = 1.0
    assert (scores > 0).all()  # the rest is background
    assert np.flatnonzero(np.abs(boxes).sum(0)).tolist() == [CELL]


def test_a_faint_answer_is_a_score_without_a_box() -> None:
    scores, boxes = slopes(nothing_labelled(0.05))
    assert 0 < scores[2, CELL] < scores[2, CELL + 1]
    assert not boxes.any()


def test_a_label_outdoes_a_teacher_that_sees_less() -> None:
    box, kind = torch.tensor([[[24.0, 8.0, 56.0, 40.0]]]), torch.tensor([[2]], dtype=torch.int64)
    logits, distances = torch.full((1, 6, CELLS), -2.0), torch.zeros(1, 64, CELLS)
    centres, strides = cell_centres(SIZE, SIZE)
    seen = decode(distances.unflatten(1, (4, 16)).permute(0, 3, 1, 2), centres, strides)
    targets = assign(logits.sigmoid(), seen, centres, box, kind)
    best = int(targets.quality[0].argmax())
    fainter = float(targets.quality[0, best]) / 2
    labelled = nothing_labelled(fainter, best)._replace(boxes=box, classes=kind)
    alone = labelled._replace(taught=torch.zeros(1, 6, 0), taught_boxes=torch.zeros(1, 0, 4))
    with_teacher, without = (detection_loss(logits, distances, t, (SIZE, SIZE)) for t in (labelled, alone))
    assert torch.isclose(with_teacher.total, without.total)


def test_a_teacher_speaks_where_labels_know_nothing() -> None:
    area, bits = torch.tensor([[[0.0, 0.0, SIZE, SIZE]]]), torch.tensor([[(1 << len(CLASSES)) - 1]])
    scores, _ = slopes(nothing_labelled(0.8)._replace(ignored=area, ignored_bits=bits))
    assert scores[2, CELL] < 0
    scores[2, CELL] = 0.0
    assert not scores.any()  # of all else nothing is known


def test_a_yolox_answers_in_pixels_of_the_picture(tmp_path: Path) -> None:
    path = tiny.yolox(tmp_path / "x.onnx", {CELL: (0.5, 0.25, np.log(2.0), 0.0, 2, 0.9)}, classes=80)
    picture = np.full((SIZE, SIZE, 3), 255, np.uint8)
    scores, boxes = Teacher(path, SIZE).answer(picture)
    assert scores.shape == (6, CELLS)
    assert np.flatnonzero(scores.any(0)).tolist() == [CELL]
    assert scores[:, CELL].argmax() == 2
    assert boxes[CELL] == pytest.approx([24, 12, 56, 28])
    arrays = collate([TrainingSample(picture, Labelled.of(), picture)] * 2, Teacher(path, SIZE))
    assert tuple(arrays[5].shape) == (2, 6, CELLS)
    assert tuple(arrays[6].shape) == (2, CELLS, 4)


def test_another_model_is_no_teacher(tmp_path: Path) -> None:
    path = tiny.yolox(tmp_path / "x.onnx", {}, classes=7)
    with pytest.raises(ModelRefused, match="give a YOLOX of COCO's 80 classes"):
        Teacher(path, SIZE)
