"""A detector of ours comes back out of its ONNX file, and goes on being trained from where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (make install EXTRAS=torch)")

import torch
from torch import nn

from pipelines.registry import create_detector
from pipelines.train.detector import tune
from pipelines.train.detector.dataset import Dataset, DatasetWriter, Labelled
from pipelines.train.detector.export import write_onnx
from pipelines.train.detector.net import DetectorNet, NetSettings
from pipelines.train.detector.state import CheckpointError
from tests.pipelines.detect import tiny_models as tiny

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
SETTINGS = NetSettings()


def trained(seed: int = 1) -> DetectorNet:
    """A net whose weights and normalisations all differ, as after a training."""
    torch.manual_seed(seed)
    net = DetectorNet(SETTINGS)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 1.5),
                (module.weight.data, 0.7, 1.3),
                (module.bias.data, -0.2, 0.2),
            ):
                values.uniform_(low, high)
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.data += torch.empty_like(module.bias).uniform_(-0.1, 0.1)
    return net.eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own.onnx"
    write_onnx(trained(), path, 96, "a test")
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of noise with a bright square each."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(2)
    with DatasetWriter(folder, side=96) as writer:
        for _ in range(12):
            image = random.integers(0, 90, (96, 96, 3), np.uint8)
            x, y = random.integers(0, 60, 2).tolist()
            image[y : y + 30, x : x + 30] = 230
            writer.add(image, Labelled.of([[x, y, x + 30, y + 30]], [2]), "squares")
    return folder


def apart(one: DetectorNet, other: DetectorNet, picture: torch.Tensor) -> float:
    with torch.inference_mode():
        pairs = zip(one(picture), other(picture), strict=True)
        return max(float((a - b).abs().max()) for a, b in pairs)


def test_the_net_of_an_onnx_file_is_the_net_that_was_written(model: Path, data: Path) -> None:
    net, biases = tune.net_of_onnx(model)
    assert net.settings == SETTINGS
    pictures = list(tune.pictures_of(Dataset(data), 96, seed=1))
    assert len(pictures) == 12
    tune.settle(net, biases, iter(pictures))
    same, another = (apart(net.eval(), trained(seed), pictures[0]) for seed in (1, 2))
    assert same < 0.02 * another  # weights are stored as float16


def test_in_training_the_settled_net_still_knows_what_it_knew(model: Path, data: Path) -> None:
    net, biases = tune.net_of_onnx(model)
    pictures = list(tune.pictures_of(Dataset(data), 96, seed=1))
    tune.settle(net, biases, iter(pictures))
    batch = torch.cat(pictures)
    with torch.inference_mode():
        before = net.eval()(batch)[0]
        after = net.train()(batch)[0]
    spread = float(before.std())
    assert float((after - before).abs().mean()) < 0.25 * spread


def test_what_is_no_detector_of_ours_cannot_be_tuned(tmp_path: Path) -> None:
    other = tiny.yolov8(tmp_path / "other.onnx", [(10, 10, 8, 8, 0, 0.9)])
    with pytest.raises(CheckpointError, match="only a detector of ours"):
        tune.net_of_onnx(other)
    with pytest.raises(CheckpointError, match="cannot be read"):
        tune.net_of_onnx(tmp_path / "none.onnx")


def test_a_few_steps_make_a_new_model_of_the_same_kind(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = ["--model", str(model), "--data", str(data), "--out", str(out), "--steps", "2"]
    assert (
        tune.main([*words, "--size", "96", "--batch", "4", "--threads", "1", "--score", "0.4", "--quiet"])
        == 0
    )
    assert "model.onnx" not in capsys.readouterr().out  # the caller keeps it elsewhere
    made = create_detector("openvino", out / "model.onnx")
    assert made.labels.names == create_detector("openvino", model).labels.names
    assert (out / "model.onnx").read_bytes() != model.read_bytes()
