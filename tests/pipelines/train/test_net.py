"""The net, what it is taught, and that its exported file says what it says. Needs torch."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[torch]'")
pytest.importorskip("onnx", reason="needs onnx")

from pipelines.detect.card import read_card  # noqa: E402
from pipelines.registry import create_detector  # noqa: E402
from pipelines.train.detector.augment import TrainingSample  # noqa: E402
from pipelines.train.detector.batches import collate  # noqa: E402
from pipelines.train.detector.dataset import CLASSES, DatasetWriter, Labelled  # noqa: E402
from pipelines.train.detector.export import write_card, write_onnx  # noqa: E402
from pipelines.train.detector.label_assignment import assign  # noqa: E402
from pipelines.train.detector.loss import BatchLabels, cell_centres, decode, detection_loss  # noqa: E402
from pipelines.train.detector.net import DetectorNet, NetSettings  # noqa: E402
from pipelines.train.detector.state import TrainingRun, load_average, read_checkpoint  # noqa: E402
from pipelines.train.detector.train import arguments, begin, main, plan_of  # noqa: E402
from pipelines.values import Frame, Stamp  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*trac.*:UserWarning")
TINY = NetSettings(widths=(8, 8, 16, 16, 16), depths=(1, 1, 1, 1), neck=16)
SIZE = 96


def truth(
    boxes: list[list[float]], classes: list[int], ignored: list[list[float]] | None = None
) -> BatchLabels:
    """Of one picture; what is ignored is so for all classes."""
    areas = ignored or []
    return BatchLabels(
        torch.tensor(boxes, dtype=torch.float32).reshape(1, -1, 4),
        torch.tensor([classes], dtype=torch.int64),
        torch.tensor(areas, dtype=torch.float32).reshape(1, -1, 4),
        torch.full((1, len(areas)), (1 << len(CLASSES)) - 1, dtype=torch.int64),
        torch.zeros(1, len(CLASSES), 0),
        torch.zeros(1, 0, 4),
    )


def test_the_net_answers_for_every_cell_of_any_size() -> None:
    net = DetectorNet(TINY).eval()
    for width, height in ((96, 96), (160, 64)):
        logits, distances = net(torch.zeros(1, 3, height, width))
        cells = sum((width // s) * (height // s) for s in (8, 16, 32))
        assert tuple(logits.shape) == (1, 6, cells)
        assert tuple(distances.shape) == (1, 64, cells)
        assert cell_centres(width, height)[0].shape == (cells, 2)


def test_cells_inside_a_box_answer_for_it_and_the_best_placed_win() -> None:
    centres, _ = cell_centres(SIZE, SIZE)
    box = torch.tensor([[[8.0, 8.0, 56.0, 72.0]]])
    boxes = torch.cat((centres - 4, centres + 4), 1)[None].clone()
    good = 3 * 12 + 4  # the cell of stride 8 at (36, 28)
    boxes[0, good] = box[0, 0]
    found = assign(torch.full((1, 6, len(centres)), 0.5), boxes, centres, box, torch.tensor([[2]]))
    held = torch.nonzero(found.box[0] >= 0).flatten()
    assert 1 <= len(held) <= 10
    assert ((centres[held] > 8).all(1) & (centres[held, 0] < 56) & (centres[held, 1] < 72)).all()
    assert found.quality[0, good] == pytest.approx(1.0, abs=1e-3)
    assert found.quality[0].argmax() == good


def test_the_smallest_box_still_has_a_cell() -> None:
    centres, _ = cell_centres(SIZE, SIZE)
    boxes = torch.cat((centres - 4, centres + 4), 1)[None]
    small = torch.tensor([[[7.0, 7.0, 10.0, 11.0]]])  # between centres
    found = assign(torch.full((1, 6, len(centres)), 0.1), boxes, centres, small, torch.tensor([[0]]))
    assert (found.box >= 0).any()


def test_of_two_boxes_a_cell_takes_the_one_it_overlaps_more() -> None:
    centres, _ = cell_centres(SIZE, SIZE)
    two = torch.tensor([[[0.0, 0.0, 64.0, 64.0], [16.0, 16.0, 48.0, 48.0]]])
    boxes = two[0, 1].expand(1, len(centres), 4)
    found = assign(torch.full((1, 6, len(centres)), 0.5), boxes, centres, two, torch.tensor([[0, 1]]))
    middle = 3 * 12 + 3  # (28, 28): in both
    assert found.box[0, middle] == 1


def test_nothing_is_taught_where_nothing_is_known() -> None:
    cells = len(cell_centres(SIZE, SIZE)[0])
    logits = torch.zeros(1, 6, cells, requires_grad=True)
    distances = torch.zeros(1, 64, cells, requires_grad=True)
    loss = detection_loss(logits, distances, truth([], [], [[0, 0, SIZE, SIZE / 2]]), (SIZE, SIZE))
    loss.total.backward()
    centres, _ = cell_centres(SIZE, SIZE)
    upper = centres[:, 1] < SIZE / 2
    assert logits.grad is not None
    assert (logits.grad[0][:, upper] == 0).all()
    assert (logits.grad[0][:, ~upper] > 0).all()


def test_an_object_inside_an_unknown_area_is_still_taught() -> None:
    cells = len(cell_centres(SIZE, SIZE)[0])
    logits = torch.zeros(1, 6, cells, requires_grad=True)
    distances = torch.zeros(1, 64, cells, requires_grad=True)
    known = truth([[20, 20, 60, 60]], [3], [[0, 0, SIZE, SIZE]])
    detection_loss(logits, distances, known, (SIZE, SIZE)).total.backward()
    assert logits.grad is not None
    taught = torch.nonzero(logits.grad[0].abs().sum(1)).flatten().tolist()
    assert taught == [3]


def squares(folder: Path) -> None:
    random = np.random.default_rng(1)
    with DatasetWriter(folder, side=SIZE) as writer:
        for _ in range(6):
            image = random.integers(0, 60, (SIZE, SIZE, 3), np.uint8)
            x, y = (int(v) for v in random.integers(8, 48, 2))
            image[y : y + 36, x : x + 36] = (40, 220, 220)
            writer.add(image, Labelled.of([[x, y, x + 36, y + 36]], [2]), "squares")


def teach(folder: Path, out: Path, *words: str) -> None:
    fixed = [
        "--data",
        str(folder),
        "--out",
        str(out),
        "--sizes",
        str(SIZE),
        "--batch",
        "4",
        "--workers",
        "0",
        "--chunk",
        "3",
    ]
    assert main([*fixed, "--mosaic", "0", "--paste", "0", "--degrade", "0", *words]) == 0


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.train.detector.train.NetSettings", lambda **_: TINY)
    torch.set_num_threads(1)
    squares(tmp_path / "data")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    teach(tmp_path / "data", whole, "--steps", "6")
    monkeypatch.setattr("pipelines.train.detector.train.TrainingPlan.progress", lambda _, run: run.steps / 3)
    monkeypatch.setattr("pipelines.train.detector.schedule.Schedule.rate_at", lambda *_: 1e-3)
    teach(tmp_path / "data", broken, "--steps", "6")
    first = read_checkpoint(broken / "last.pt")
    assert first["samples"] == 12
    monkeypatch.setattr("pipelines.train.detector.train.TrainingPlan.progress", lambda _, run: run.steps / 6)
    teach(tmp_path / "data", broken, "--steps", "6", "--resume")
    unbroken = tmp_path / "unbroken"
    teach(tmp_path / "data", unbroken, "--steps", "6")
    a, b = read_checkpoint(broken / "last.pt"), read_checkpoint(unbroken / "last.pt")
    assert a["samples"] == b["samples"] == 24
    for name, value in a["average"].items():
        assert torch.equal(value, b["average"][name]), name
    assert (whole / "curves.png").stat().st_size > 1000
    assert (whole / "curves.csv").read_text().startswith("step,progress,size,loss")


def test_a_second_run_does_not_write_over_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TrainingRun.start(TINY, 1e-3, 0.0, "cpu").save(tmp_path / "last.pt")
    assert main(["--data", str(tmp_path), "--out", str(tmp_path), "--steps", "1"]) == 1
    assert "go on with --resume" in capsys.readouterr().err
    assert main(["--data", str(tmp_path), "--out", str(tmp_path), "--steps", "1", "--resume"]) == 1
    assert "a net of other sizes" in capsys.readouterr().err


def test_a_run_goes_on_from_a_net_of_other_sizes_as_that_net(tmp_path: Path) -> None:
    first = TrainingRun.start(TINY, 1e-3, 0.0, "cpu")
    first.save(tmp_path / "init.pt")
    words = ["--data", str(tmp_path), "--out", str(tmp_path), "--init", str(tmp_path / "init.pt")]
    plan = plan_of(arguments().parse_args(words))
    run = begin(plan, False, tmp_path / "init.pt")
    assert run.net.settings == TINY
    for name, value in first.average.state_dict().items():
        assert torch.equal(value, run.average.state_dict()[name]), name


def test_six_pictures_can_be_learnt() -> None:
    """The whole of net, assignment and loss: after a while every true box is found, and no other."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    random = np.random.default_rng(1)
    samples = []
    for _ in range(6):
        image = random.integers(0, 60, (SIZE, SIZE, 3), np.uint8)
        x, y = (int(v) for v in random.integers(8, 48, 2))
        image[y : y + 36, x : x + 30] = (40, 220, 220)
        samples.append(TrainingSample(image, Labelled.of([[x, y, x + 30, y + 36]], [2]), image))
    pictures, *parts = collate(samples)
    run = TrainingRun.start(TINY, 5e-3, 0.0, "cpu")
    for _ in range(90):
        logits, distances = run.net(pictures.float() / 255)
        loss = detection_loss(logits, distances, BatchLabels(*parts), (SIZE, SIZE)).total
        run.optimiser.zero_grad()
        loss.backward()
        run.optimiser.step()
    centres, strides = cell_centres(SIZE, SIZE)
    boxes = decode(distances.detach().unflatten(1, (4, 16)).permute(0, 3, 1, 2), centres, strides)
    scores = logits.detach().sigmoid()
    for i in range(6):
        best = scores[i].flatten().argmax()
        assert best // scores.shape[2] == 2
        assert (boxes[i, best % scores.shape[2]] - parts[0][i, 0]).abs().max() < 4


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_the_exported_file_finds_what_the_net_finds(tmp_path: Path, engine: str) -> None:
    torch.manual_seed(3)
    net = DetectorNet(TINY).eval().requires_grad_(False)
    for module in net.modules():  # as if trained: normalisations that do something, scores that differ
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2.0)
            module.running_mean.uniform_(-0.2, 0.2)
    for head in net.classes:
        torch.nn.init.normal_(head[-1].weight, std=0.5)
        torch.nn.init.constant_(head[-1].bias, -2.0)
    path = tmp_path / "tiny.onnx"
    write_onnx(copy.deepcopy(net), path, SIZE, "test")
    write_card(path, 0.3, SIZE)
    for size in (SIZE, 160):
        card = read_card(path.with_suffix(".yaml")).model_copy(
            update={"precision": "f32", "input_size": (size, size), "nms_iou": 0.99}
        )
        detector = create_detector(engine, path, threads=1, score=0.05, sidecar=card)
        assert detector.labels.names == CLASSES
        image = np.random.default_rng(4).integers(0, 256, (size, size, 3), np.uint8)
        found = detector.collect(detector.submit([Frame(Stamp("a", 1, 0, 0, 0, 0), image)]))[0]
        picture = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)[None] / 255
        logits, distances = net(picture)
        centres, strides = cell_centres(size, size)
        boxes = decode(distances.unflatten(1, (4, 16)).permute(0, 3, 1, 2), centres, strides)[0]
        scores, classes = logits[0].sigmoid().max(0)
        top = int(scores.argmax())
        assert float(found.scores.max()) == pytest.approx(float(scores[top]), abs=0.02)
        first = int(found.scores.argmax())
        assert found.class_ids[first] == int(classes[top])
        expected = boxes[top].clamp(0, size).numpy() / size
        assert np.abs(found.boxes_xyxyn[first] - expected).max() < 0.02


def test_a_checkpoint_gives_its_average(tmp_path: Path) -> None:
    run = TrainingRun.start(TINY, 1e-3, 0.0, "cpu")
    run.save(tmp_path / "a.pt")
    net = load_average(tmp_path / "a.pt")
    assert net.settings == TINY
    assert not net.training
