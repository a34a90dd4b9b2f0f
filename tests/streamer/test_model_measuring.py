"""`streamer model bench` and `quantize` on real weights and clips, and the arithmetic under them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from pipelines.values import Detections, Labels
from streamer.cli.main import cli
from streamer.cli.model import bench as bench_command_module
from streamer.errors import Exit, SourceError
from streamer.models.agreement import Agreement, agreement
from streamer.models.benchmark import Timing, cameras
from streamer.models.sample_frames import SCENE, samples, split
from streamer.models.store import ModelStore
from tests.pipelines.detect import tiny_models as tiny
from tests.pipelines.detect.test_quantize import net as conv_net

NANODET = "weights/nanodet_320.onnx"
CLIP = "videos/overpass-cars.mp4"


@pytest.fixture
def home(short_dir: Path) -> Path:
    (short_dir / "streamer.yaml").write_text(f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n")
    return short_dir


def model(home: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--config", str(home), "model", *map(str, words)])


def boxes(*rows: tuple[float, float, int, float]) -> Detections:
    """Boxes of a tenth of the picture: left, top, class, score."""
    corners = np.array([[x, y, x + 0.1, y + 0.1] for x, y, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for *_, score in rows], np.float32)
    return Detections(corners, scores, np.array([kind for _, _, kind, _ in rows], np.int32))


def test_pictures_are_spread_over_a_clip_and_split_by_time() -> None:
    found = list(samples([SCENE, SCENE.replace("street", "street") + "&seed=2"], 20))
    assert len(found) == 20
    parts = [sample.part for sample in found if sample.clip == SCENE]
    assert parts == sorted(parts)
    assert parts[-1] >= 0.85
    assert found[0].image.shape == (360, 640, 3)
    first, rest = split(found, 0.6)
    assert (len(first), len(rest)) == (12, 8)
    assert max(s.part for s in first) < min(s.part for s in rest)


def test_a_clip_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match=r"gone\.mp4: no such clip"):
        list(samples(["gone.mp4"], 4))


def test_agreement_is_whole_with_oneself_and_less_where_something_is_missed() -> None:
    labels = Labels(("person", "car", "truck"), ("person", "vehicle", "vehicle"))
    truth = [boxes((0.1, 0.1, 0, 0.9), (0.5, 0.5, 1, 0.8), (0.8, 0.8, 0, 0.1))] * 4
    sizes = [(640, 360)] * 4
    same = agreement(truth, truth, labels, sizes, 0.25)
    assert (same.boxes, same.ap50, same.precision, same.recall) == (8, 1.0, 1.0, 1.0)
    as_truck = [boxes((0.1, 0.1, 0, 0.9), (0.5, 0.5, 2, 0.8))] * 4
    assert agreement(truth, as_truck, labels, sizes, 0.25).loss == 0  # the same group
    missed = [boxes((0.1, 0.1, 0, 0.9))] * 4
    assert agreement(truth, missed, labels, sizes, 0.25).recall == 0.5
    assert agreement(truth, missed, labels, sizes, 0.25).loss == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("ms", "cpu_ms", "cores", "fps", "decode", "carried"),
    [
        (10, 10, 1, 10, 0.0, 8),  # 80 % of 100 frames a second
        (10, 20, 2, 10, 0.2, 4),  # 0.4 cores a camera, of 1.6
        (5, 10, 16, 10, 0.0, 16),  # cores to spare: the engine is the limit
        (200, 200, 2, 10, 0.0, 0),
    ],
)
def test_cameras_are_what_engine_and_cores_both_have_room_for(
    ms: float, cpu_ms: float, cores: int, fps: float, decode: float, carried: int
) -> None:
    assert cameras(ms, cpu_ms, cores, fps, decode) == carried


def test_a_bench_without_a_name_times_the_detector_in_the_package_and_motion_has_none(home: Path) -> None:
    done = model(home, "bench", "--rounds", "1", "--pictures", "1", "--engine", "onnx", "--json")
    assert json.loads(done.output)["model"] == "default"
    done = model(home, "bench", SCENE, "--rounds", "1", "--pictures", "1", "--engine", "onnx")
    assert "onnx" in done.output, done.output  # the first word may be a clip: then the default is timed
    done = model(home, "bench", "motion")
    assert done.exit_code == Exit.MODEL
    assert "motion has no weights to time" in done.output


def test_a_bench_times_each_engine_and_precision_on_a_rendered_street(home: Path, tmp_path: Path) -> None:
    model(home, "add", tiny.yolov8(tmp_path / "small.onnx", [(10, 10, 8, 8, 0, 0.9)]))
    done = model(home, "bench", "--rounds", "2", "--pictures", "3", "--threads", "1", "--json")
    assert done.exit_code == 0, done.output
    timings = json.loads(done.output)["timings"]
    ways = {(row["engine"], row["precision"]) for row in timings}
    assert {("openvino", "f32"), ("onnx", "f32")} <= ways
    assert all(row["ms"] > 0 and row["frames_per_s"] > 0 and row["size"] == [64, 64] for row in timings)
    table = model(
        home, "bench", "small", SCENE, "--rounds", "1", "--pictures", "2", "--engine", "onnx", "--fps", "5"
    )
    assert "onnx" in table.output
    assert "openvino" not in table.output
    assert "80% of" in table.output


def test_a_bench_times_the_pictures_own_shape_where_the_graph_can_take_it(home: Path, tmp_path: Path) -> None:
    words = ("--rounds", "1", "--pictures", "1", "--threads", "1", "--engine", "openvino", "--json")
    timings = json.loads(model(home, "bench", *words).output)["timings"]
    assert [row["inputs"] for row in timings if row["precision"] == "f32"] == [[], [[416, 256]]]
    model(home, "add", tiny.yolov8(tmp_path / "small.onnx", [(10, 10, 8, 8, 0, 0.9)]))  # it cannot
    timings = json.loads(model(home, "bench", "small", *words).output)["timings"]
    assert all(row["inputs"] == [] for row in timings)


@pytest.mark.parametrize(("cpu_ms", "told"), [(6.1, True), (9.5, False)])
def test_a_bench_tells_where_the_pictures_own_shape_would_take_less(
    cpu_ms: float, told: bool, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(home, "add", tiny.yolov8(tmp_path / "small.onnx", [(10, 10, 8, 8, 0, 0.9)]))
    square = Timing("openvino", "f32", (64, 64), [], 1, 5.0, 6.0, 10.0, 4)
    own = Timing("openvino", "f32", (64, 64), [(64, 32)], 1, 5.0, 6.0, cpu_ms, 4)
    monkeypatch.setattr(bench_command_module, "bench", lambda *_, **__: [square, own])
    output = model(home, "bench", "small", "--pictures", "1").output
    assert "64x32" in output
    assert ("`input_shape: picture`" in output) == told
    assert ("take 0.61 of the processor time" in output) == told


def test_a_configuration_that_is_named_and_not_there_has_no_models(tmp_path: Path) -> None:
    done = model(tmp_path / "gone", "add", tiny.yolov8(tmp_path / "small.onnx", [(10, 10, 8, 8, 0, 0.9)]))
    assert done.exit_code == Exit.CONFIG
    assert "no configuration at" in done.output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--engine", "tpu"], "unknown engine 'tpu'"),
        (["--engine", "torch"], "does not run"),
        (["--size", "96"], "cannot be changed"),
        (["--size", "100"], "multiples of 32"),
    ],
)
def test_a_bench_that_cannot_be_is_refused(words: list[str], why: str, home: Path, tmp_path: Path) -> None:
    model(home, "add", tiny.yolov8(tmp_path / "small.onnx", [(10, 10, 8, 8, 0, 0.9)]))
    done = model(home, "bench", "small", *words, "--pictures", "1", "--rounds", "1")
    assert done.exit_code == Exit.MODEL
    assert why in done.output


def test_an_int8_model_within_the_limit_is_installed_and_one_beyond_it_is_not(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(home, "add", conv_net(tmp_path / "nano.onnx"))
    words = ["quantize", "nano", SCENE, "--pictures", "24", "--threads", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(Agreement, "loss", 0.06)
        refused = model(home, *words, "--limit", "5.9")
    assert refused.exit_code == Exit.GATE, refused.output
    assert "not installed" in refused.output
    done = model(home, *words, "--limit", "100", "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.output)
    assert figures["int8"]["pictures"] == 10
    assert figures["int8"]["boxes"] >= 20
    assert figures["int8"]["ap50"] > 0.5
    names = {item["name"]: item for item in json.loads(model(home, "list", "--json").output)}
    assert names["nano-int8"]["classes"] == names["nano"]["classes"]
    assert names["nano-int8"]["default"] is False


@pytest.mark.corpus
def test_what_int8_costs_is_measured_on_other_pictures_of_the_clip(home: Path, corpus: Path) -> None:
    model(home, "add", corpus / NANODET, "--name", "nano")
    done = model(
        home, "quantize", "nano", corpus / CLIP, "--pictures", "20", "--threads", "1", "--limit", "0.001"
    )
    assert done.exit_code == Exit.GATE, done.output
    assert "measured on 8 other pictures" in done.output
    found = [float(value) for value in re.findall(r"AP50 ([\d.]+)", done.output)]
    assert 0.85 < found[0] <= found[1] <= 1.0


def test_pictures_with_nothing_in_them_measure_nothing(home: Path, tmp_path: Path) -> None:
    model(home, "add", tiny.yolov8(tmp_path / "blind.onnx", []))
    done = model(home, "quantize", "blind", SCENE, "--pictures", "24")
    assert done.exit_code == Exit.MODEL
    assert "finds 0 objects" in done.output


def _stills(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number, sample in enumerate(samples([SCENE], count)):
        cv2.imwrite(str(folder / f"door_{number:03}.jpg"), sample.image)
    return folder


def test_an_int8_model_of_a_folder_of_pictures_has_in_its_card_what_it_kept(
    home: Path, tmp_path: Path
) -> None:
    model(home, "add", conv_net(tmp_path / "nano.onnx"))
    stills = _stills(tmp_path / "stills", 24)
    done = model(
        home, "quantize", "nano", "--images", stills, "--pictures", "20", "--threads", "1", "--limit", "100"
    )
    assert done.exit_code == 0, done.output
    store = ModelStore(home / "state" / "models")
    card = store.get("nano-int8").card
    assert card.quantized is not None
    assert card.quantized.of == store.get("nano").card.sha256
    assert card.quantized.pictures == 8  # 20 of the 24, less the 60 % that calibrate
    assert 0 < card.quantized.found <= card.quantized.boxes
    assert card.quantized.found <= card.quantized.given
    assert f"({card.quantized.found} of {card.quantized.boxes}, {card.quantized.given} given)" in done.output


def test_pictures_to_quantise_with_must_be_there_and_a_camera_be_known(home: Path, tmp_path: Path) -> None:
    model(home, "add", conv_net(tmp_path / "nano.onnx"))
    (tmp_path / "empty").mkdir()
    torn = _stills(tmp_path / "torn", 2)
    (torn / "door_000.jpg").write_bytes(b"no picture")
    for words, why in (
        ([], "name clips or cameras, or give --images"),
        (["--images", tmp_path / "empty"], "no picture in it"),
        (["--images", torn], "door_000.jpg: cannot be read as a picture"),
        (["--camera", "gate"], "no camera 'gate'"),
    ):
        done = model(home, "quantize", "nano", *words)
        assert done.exit_code != 0
        assert why in done.output, done.output
