"""The engine torch: files read as data, the boxes of Ultralytics and of the ONNX export of the same net."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.patience import patient

pytest.importorskip("torch", reason="needs torch (make install EXTRAS=torch)")
pytest.importorskip("ultralytics.nn.tasks", reason="needs torch (make install EXTRAS=torch)")

import torch

from pipelines.detect.card import ModelCard
from pipelines.detect.errors import InferenceRejected, ModelRefused
from pipelines.detect.nms import suppress as suppress_one_by_one
from pipelines.detect.torch.boxes import Cells, best_boxes, suppress
from pipelines.detect.torch.engine import TorchDetector
from pipelines.detect.torch.pt_file import read_pt_file
from pipelines.detect.torch.ultralytics_net import build_net, raw_answer
from pipelines.registry import create_detector
from pipelines.values import Detections, Frame, Stamp
from tests.bench import detection_data as data
from tests.pipelines.detect import ultralytics_files as files

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]
each_device = pytest.mark.parametrize("device", DEVICES)
SMALL = ModelCard(input_size=(320, 320), precision="f32")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.save(files.detector(classes=3), tmp_path_factory.mktemp("pt") / "small.pt")


@pytest.fixture(scope="module")
def v8(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """Ultralytics' yolov8n with real weights."""
    net = files.with_weights_of(corpus / "weights/yolov8n_640.onnx")
    return files.save(net, tmp_path_factory.mktemp("pt") / "yolov8n.pt")


def pictures(corpus: Path) -> list[Frame]:
    clips = (("videos/overpass-cars.mp4", 500), ("videos/pets09-s2l1.avi", 400))
    return [data.frame(image, i) for clip, every in clips for i, image in data.images(corpus / clip, every)]


def detect(detector: Any, frames: list[Frame]) -> list[Detections]:
    return detector.collect(detector.submit(frames))  # type: ignore[no-any-return]


def grey(value: int = 114) -> Frame:
    return Frame(Stamp("door", 1, 0, 0, 0, 0), np.full((180, 320, 3), value, np.uint8))


def assert_same(one: Detections, other: Detections, within: float) -> None:
    assert len(one) == len(other)
    for i in range(len(one)):
        distance = np.abs(other.boxes_xyxyn - one.boxes_xyxyn[i]).max(axis=1)
        distance[other.class_ids != one.class_ids[i]] = 1.0
        near = int(distance.argmin())
        assert distance[near] < within
        assert abs(float(other.scores[near] - one.scores[i])) < 4 * within


# ---- boxes


@pytest.mark.corpus
@each_device
def test_boxes_are_those_of_the_onnx_model_with_the_same_weights(v8: Path, corpus: Path, device: str) -> None:
    ours = TorchDetector(v8, ModelCard(precision="f32"), device=device)
    theirs = create_detector("onnx", corpus / "weights/yolov8n_640.onnx")
    boxes = 0
    for frame in pictures(corpus):
        (one,), (other,) = detect(ours, [frame]), detect(theirs, [frame])
        assert_same(one, other, within=0.002)  # the file's weights are float16
        boxes += len(one)
    assert boxes > 30
    assert ours.labels == theirs.labels


@pytest.mark.corpus
def test_boxes_are_those_that_ultralytics_makes_of_the_same_tensors(v8: Path, corpus: Path) -> None:
    from ultralytics.utils.nms import non_max_suppression

    net = build_net(read_pt_file(v8))
    image = pictures(corpus)[1].image
    picture = torch.zeros(1, 3, 640, 640)
    picture[0, :, : image.shape[0], : image.shape[1]] = torch.from_numpy(image[..., ::-1] / 255.0).permute(
        2, 0, 1
    )
    with torch.inference_mode():
        sides, logits = raw_answer(net(picture), 80)
        net.model[-1].training = False
        theirs = non_max_suppression(net(picture), conf_thres=0.25, iou_thres=0.6)[0]
        cells = Cells.of(640, 640, (8.0, 16.0, 32.0), "cpu")
        every_class = torch.arange(80)
        table = best_boxes(sides, logits, cells, every_class, min_score=0.25, nms_iou=0.6, max_boxes=1000)[0]
    ours = table[table[:, 6] > 0]
    assert len(ours) == len(theirs) > 5
    assert torch.allclose(ours[:, :6], theirs, atol=2e-3)


@each_device
@pytest.mark.parametrize("seed", range(4))
def test_suppression_is_what_going_through_the_boxes_one_by_one_gives(seed: int, device: str) -> None:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 60, (3, 200, 2))
    boxes = np.concatenate((corner, corner + random.uniform(5, 40, (3, 200, 2))), axis=2)
    good = np.arange(200)[None] < np.array([[200], [50], [0]])
    given = (torch.from_numpy(boxes).to(device), torch.from_numpy(good).to(device))
    for rounds in (None, 16):
        kept = suppress(*given, 0.5, rounds).cpu().numpy()
        for i in range(3):
            some = boxes[i][good[i]].astype(np.float32)
            scores, groups = np.linspace(1, 0.5, len(some), dtype=np.float32), np.zeros(len(some), np.int32)
            assert np.flatnonzero(kept[i]).tolist() == sorted(
                suppress_one_by_one(some, scores, groups, 0.5).tolist()
            )


def test_boxes_of_two_groups_do_not_suppress_each_other() -> None:
    sides, logits = torch.zeros(1, 64, 84), torch.full((1, 3, 84), -9.0)
    sides[0, 2::16] = 20.0  # two strides to each side
    logits[0, 0, 9], logits[0, 1, 10], logits[0, 2, 11] = 3.0, 2.0, 1.0
    cells = Cells.of(64, 64, (8.0, 16.0, 32.0), "cpu")
    groups = torch.tensor([0, 1, 1])
    table = best_boxes(sides, logits, cells, groups, min_score=0.25, nms_iou=0.5, max_boxes=100)[0]
    assert table[table[:, 6] > 0, 5].tolist() == [0, 1]
    assert table[0, :4].tolist() == [-4, -4, 28, 28]


# ---- the engine


def test_a_pt_is_run_by_torch_without_being_told(small: Path) -> None:
    detector = create_detector("auto", small, sidecar=SMALL, score=0.05)
    said = detector.describe()
    assert (said["engine"], said["head"], said["input"]) == ("torch", "yolov8", [320, 320])
    assert "AGPL" in said["licence"]
    assert detector.labels.names == ("0", "1", "2")
    tickets = [detector.submit([grey(value)]) for value in (0, 114, 255)]
    with pytest.raises(RuntimeError, match="3 tickets are open"):
        detector.submit([grey()])
    first = [detector.collect(ticket)[0] for ticket in reversed(tickets)]
    second = [detect(detector, [grey(value)])[0] for value in (255, 114, 0)]
    for one, other in zip(first, second, strict=True):
        assert_same(one, other, within=1e-6)
    with pytest.raises(ValueError, match="spent"):
        detector.collect(tickets[0])


@pytest.mark.parametrize("config", ["yolo11n.yaml", "yolo26n.yaml", "yolov10n.yaml"])
def test_nets_of_other_years_run_as_well(config: str, tmp_path: Path) -> None:
    file = files.save(files.detector(config, classes=2), tmp_path / "net.pt")
    detector = TorchDetector(file, SMALL, device="cpu", score=0.001)
    assert len(detector.labels.names) == 2
    detect(detector, [grey()])


@each_device
def test_out_of_memory_halves_the_batch_and_says_so(small: Path, device: str) -> None:
    detector = TorchDetector(small, SMALL, device=device, score=0.05)
    detector._accepted = detector.max_batch = 8
    detector._free = [type(slot)((320, 320), 8, detector._device) for slot in detector._free]
    net, sizes = detector._net, []

    def small_device(batch: Any) -> Any:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return net(batch)

    detector._net = small_device
    frames = [grey(40 * i) for i in range(6)]
    found = detect(detector, frames)
    assert sizes == [6, 3, 3]
    assert detector.max_batch == 3
    assert "out of memory with 6" in detector.describe()["warnings"][0]
    for i, frame in enumerate(frames):
        assert_same(found[i], detect(detector, [frame])[0], within=1e-3)


def test_no_memory_for_one_frame_costs_the_frame_and_not_the_detector(small: Path) -> None:
    detector = TorchDetector(small, SMALL, device="cpu")
    net = detector._net

    def full(_batch: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    detector._net = full
    with pytest.raises(InferenceRejected, match="no memory for even one frame"):
        detect(detector, [grey()])
    detector._net = net
    detect(detector, [grey()])


def test_an_answer_that_is_no_number_is_refused(small: Path) -> None:
    detector = TorchDetector(small, SMALL, device="cpu")
    net = detector._net

    def broken(batch: Any) -> Any:
        answer = net(batch)
        answer["scores"][0, 0, 7] = float("nan")
        return answer

    detector._net = broken
    with pytest.raises(InferenceRejected, match="not a number"):
        detect(detector, [grey()])


# ---- feature maps


def test_each_frame_of_a_batch_comes_with_its_own_maps(small: Path) -> None:
    detector = TorchDetector(small, SMALL, device="cpu")
    detector._accepted = detector.max_batch = 2
    detector._free = [type(slot)((320, 320), 2, detector._device) for slot in detector._free]
    assert detector.enable_feature_maps((16, 32)) == 128 + 256
    frames = [grey(30), grey(200)]
    ticket = detector.submit(frames)
    ticket.maps = True
    both = detector.collect(ticket)
    for one, frame in zip(both, frames, strict=True):
        alone = detector.submit([frame])
        alone.maps = True
        (found,) = detector.collect(alone)
        assert one.maps is not None
        assert found.maps is not None
        assert [m.shape for m in one.maps.maps] == [(20, 20, 128), (10, 10, 256)]
        for mine, other in zip(one.maps.maps, found.maps.maps, strict=True):
            assert np.allclose(mine, other, atol=1e-4 * np.abs(other).max())
    assert detect(detector, [frames[0]])[0].maps is None
    with pytest.raises(ModelRefused, match="no feature map of stride 64"):
        detector.enable_feature_maps((64,))


@pytest.mark.corpus
@each_device
def test_maps_are_those_of_the_onnx_model_with_the_same_weights(v8: Path, corpus: Path, device: str) -> None:
    found = []
    for detector in (
        TorchDetector(v8, ModelCard(precision="f32"), device=device),
        create_detector("onnx", corpus / "weights/yolov8n_640.onnx"),
    ):
        detector.enable_feature_maps((16, 32))
        ticket = detector.submit(pictures(corpus)[:1])
        ticket.maps = True
        found.append(detector.collect(ticket)[0].maps)
    for one, other in zip(found[0].maps, found[1].maps, strict=True):
        assert np.abs(one - other).max() < 0.02 * np.abs(other).max()  # the file's weights are float16


# ---- files


class Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


def test_a_file_that_would_run_a_command_is_refused_and_does_not_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = files.detector(classes=1)
    file = files.save(net, tmp_path / "best.pt", extra=Runs())
    with pytest.raises(
        ModelRefused, match=r"reach for posix\.system.*streamer model export --trust"
    ) as refusal:
        read_pt_file(file)
    assert "\n" not in str(refusal.value)
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"activation": "__import__('os').system('touch harmed')"}, "activation"),
        ({"backbone": [[-1, 1, "attempt_load_weights", ["x.pt"]]]}, "no layer of this Ultralytics"),
        ({"backbone": [[-1, 1, "os.system", ["touch harmed"]]]}, "none of Ultralytics"),
        ({"backbone": [[-1, 1, "Conv", [64, 3, 2]]], "head": []}, "cannot build its net|index"),
        ({"head": "Detect"}, "how its net is built"),
    ],
)
def test_a_configuration_that_reaches_for_more_than_layers_is_refused(
    change: dict[str, Any], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = files.detector(classes=1)
    net.yaml = {**net.yaml, **change}
    with pytest.raises(ModelRefused, match=why):
        TorchDetector(files.save(net, tmp_path / "best.pt"), SMALL, device="cpu")
    assert not Path("harmed").exists()


def test_what_is_no_detector_says_what_it_is(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "linear.pt")
    torch.save({"state_dict": {"a": torch.zeros(2)}}, tmp_path / "weights.pt")
    with pytest.raises(ModelRefused, match="holds a Linear"):
        read_pt_file(tmp_path / "linear.pt")
    with pytest.raises(ModelRefused, match="holds nothing"):
        read_pt_file(tmp_path / "weights.pt")


def test_a_cut_file_is_damaged(small: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pt"
    cut.write_bytes(small.read_bytes()[:-5000])
    with pytest.raises(ModelRefused, match="copy it again"):
        read_pt_file(cut)


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    net = files.detector(classes=2)
    net.yaml = {**net.yaml, "scale": "s"}
    with pytest.raises(ModelRefused, match="cannot build its net"):
        TorchDetector(files.save(net, tmp_path / "mixed.pt"), device="cpu")


def test_the_import_of_ultralytics_needs_no_torchvision(small: Path, repo: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from pathlib import Path\nfrom pipelines.registry import create_detector\n"
        "from pipelines.detect.card import ModelCard\n"
        f"create_detector('torch', Path({str(small)!r}), sidecar=ModelCard(input_size=(64, 64)))"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=repo, check=True, capture_output=True, timeout=patient(120)
    )
