"""`streamer model` on real weights, and on files that are none."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from streamer.cli.main import cli
from streamer.errors import Exit
from tests.pipelines.detect import tiny_models as tiny

NANODET = "weights/nanodet_320.onnx"
YOLO11 = "weights/yolo11n_320.onnx"


@pytest.fixture
def home(short_dir: Path) -> Path:
    (short_dir / "streamer.yaml").write_text(f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n")
    return short_dir


def model(home: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--config", str(home), "model", *map(str, words)])


def everything(home: Path) -> dict[str, dict[str, object]]:
    return {item["name"]: item for item in json.loads(model(home, "list", "--json").stdout)}


def listed(home: Path) -> dict[str, dict[str, object]]:
    """What is in the store."""
    return {name: item for name, item in everything(home).items() if not item["in_package"]}


def test_the_detector_in_the_package_is_listed_verified_and_the_default(home: Path) -> None:
    done = model(home, "list")
    assert done.exit_code == 0
    assert re.search(r"default \(in the +yes", done.output), done.output
    (item,) = everything(home).values()
    assert (item["in_package"], item["default"], item["licence"]) == (True, True, "Apache-2.0")
    assert model(home, "verify").output == "default (in the package): ok\n"
    assert model(home, "default", "motion").exit_code == 0
    assert "the default is motion" in model(home, "list").output
    assert everything(home)["default"]["default"] is False
    assert model(home, "default", "default").exit_code == 0
    assert everything(home)["default"]["default"] is True


def test_a_damaged_detector_in_the_package_is_marked_and_what_to_do_about_it_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file was to be removed with `streamer model remove`, which cannot be."""
    monkeypatch.setattr("streamer.models.model_handle.PACKAGED_MODEL", home / "default.onnx")
    done = model(home, "list")
    assert done.exit_code == 0
    assert re.search(r"default \(in the package\) +yes .* cannot be used\n", done.stdout)
    assert "warning: default: " in done.stderr
    assert "install streamer again" in str(everything(home)["default"]["problem"])
    done = model(home, "verify")
    assert done.exit_code == Exit.MODEL
    assert "1 of 1 models cannot be used (default): for default, install streamer again" in done.stderr
    assert "model remove" not in done.stderr


@pytest.mark.parametrize("content", [b"", b"this is no model\n", b"\x08\x07" * 500])
def test_a_file_that_is_no_model_is_refused_in_one_line_and_leaves_nothing(
    home: Path, content: bytes
) -> None:
    file = home / "not-a-model.onnx"
    file.write_bytes(content)
    done = model(home, "add", file)
    assert done.exit_code == Exit.MODEL
    assert len(done.output.strip().splitlines()) == 1, done.output
    assert str(file) in done.output
    assert listed(home) == {}


def test_a_missing_file_and_an_unknown_name_are_named(home: Path) -> None:
    for words in (("add", home / "gone.onnx"), ("verify", "gone"), ("remove", "gone"), ("default", "gone")):
        done = model(home, *words)
        assert done.exit_code == Exit.MODEL
        assert "gone" in done.output


def test_an_unknown_model_is_told_all_that_there_are(home: Path, tmp_path: Path) -> None:
    assert model(home, "add", tiny.yolov8(tmp_path / "nano.onnx", [])).exit_code == 0
    assert "no model 'nope' (known: default, motion, nano)" in model(home, "default", "nope").output


def test_a_sidecar_that_does_not_read_is_to_be_mended_not_its_model_removed(
    home: Path, tmp_path: Path
) -> None:
    assert model(home, "add", tiny.yolov8(tmp_path / "nano.onnx", [])).exit_code == 0
    sidecar = Path(listed(home)["nano"]["path"]).with_name("model.yaml")
    sidecar.write_text(sidecar.read_text().replace("low_score: null", "low_score: 0.9"))
    done = model(home, "verify", "nano")
    assert f"nano: {sidecar}: low_score 0.9 must not be above score, which is 0.25\n" in done.output
    assert "(nano): mend the sidecar that is named above\n" in done.output
    sidecar.with_name("model.onnx").write_bytes(b"")
    assert "mend the sidecar" in model(home, "verify", "nano").output


def test_a_model_that_a_camera_names_is_not_removed(home: Path, tmp_path: Path) -> None:
    assert model(home, "add", tiny.yolov8(tmp_path / "nano.onnx", [])).exit_code == 0
    for words in (("add", "gate", "synthetic:street"), ("set", "gate", "model=nano")):
        done = CliRunner().invoke(cli, ["--config", str(home), "camera", *words])
        assert done.exit_code == 0, done.output
    done = model(home, "remove", "nano")
    assert done.exit_code == Exit.MODEL
    assert "nano is the model of gate" in done.output
    assert list(listed(home)) == ["nano"]


@pytest.mark.corpus
def test_the_first_model_added_is_the_default_until_another_is_chosen(home: Path, corpus: Path) -> None:
    assert model(home, "add", corpus / YOLO11, "--name", "people").exit_code == 0
    assert model(home, "add", corpus / NANODET).exit_code == 0
    assert {name: item["default"] for name, item in listed(home).items()} == {
        "people": True,
        "nanodet-320": False,
    }
    assert model(home, "default", "nanodet-320").exit_code == 0
    assert listed(home)["nanodet-320"]["default"] is True
    assert model(home, "remove", "nanodet-320").exit_code == 0
    assert list(listed(home)) == ["people"]


@pytest.mark.corpus
def test_the_digest_of_the_file_is_pinned_and_a_wrong_one_refused(home: Path, corpus: Path) -> None:
    digest = hashlib.sha256((corpus / NANODET).read_bytes()).hexdigest()
    assert model(home, "add", corpus / NANODET, "--sha256", "0" * 64).exit_code == Exit.MODEL
    assert listed(home) == {}
    assert model(home, "add", corpus / NANODET, "--sha256", digest).exit_code == 0
    assert listed(home)["nanodet-320"]["sha256"] == digest


@pytest.mark.corpus
def test_a_model_changed_on_disk_fails_verification(home: Path, corpus: Path) -> None:
    model(home, "add", corpus / NANODET)
    sound = model(home, "verify", "nanodet-320")
    assert (sound.exit_code, sound.output) == (0, "nanodet-320: ok\n")
    path = Path(str(listed(home)["nanodet-320"]["path"]))
    weights = bytearray(path.read_bytes())
    weights[len(weights) // 2] ^= 1
    path.write_bytes(weights)
    changed = model(home, "verify")
    assert changed.exit_code == Exit.MODEL
    assert "1 of 2" in changed.output
    verdicts = json.loads(model(home, "verify", "--json").output.splitlines()[0])
    assert {v["name"]: v["ok"] for v in verdicts} == {"default": True, "nanodet-320": False}


@pytest.mark.corpus
def test_weights_under_the_agpl_say_so_when_they_are_added(home: Path, corpus: Path) -> None:
    done = model(home, "add", corpus / YOLO11)
    assert "AGPL-3.0" in done.output


@pytest.mark.corpus
def test_a_dynamic_int8_model_is_added_with_a_warning(home: Path, corpus: Path) -> None:
    done = model(home, "add", corpus / "weights/yolov8n_int8_320.onnx")
    assert done.exit_code == 0
    assert "note: dynamic int8 model: slower" in done.output
    assert done.output.count("dynamic int8") == 1


def test_add_says_how_the_batch_is_run_and_what_was_assumed(home: Path, tmp_path: Path) -> None:
    done = model(home, "add", tiny.yolov8(tmp_path / "one.onnx", []))
    assert "note: fixed batch of 1: pictures one by one" in done.output
    done = model(home, "add", tiny.yolov8(tmp_path / "free.onnx", [], batch="batch"))
    assert "note: free batch: up to 8 pictures at once" in done.output
    rows = np.array([[8, 8, 24, 40, 0.9, 1]] * 3, np.float32)
    lit = {"lit_columns": slice(4, 5), "divisor": 255.0}
    done = model(home, "add", tiny.table(tmp_path / "final.onnx", rows, **lit))
    assert done.exit_code == 0, done.output
    assert "head end-to-end" in done.output
    assert "note: neither the file nor a sidecar names its classes" in done.output
    done = model(home, "add", tiny.table(tmp_path / "none.onnx", np.zeros((7, 9), np.float32)))
    assert done.exit_code == Exit.MODEL
    assert "unknown head" in done.output


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: becomes another user")
def test_a_user_who_may_not_see_the_store_is_told_so(home: Path) -> None:
    (home / "state").mkdir(mode=0o700)
    home.chmod(0o755)
    os.seteuid(65534)
    try:
        done = model(home, "list")
    finally:
        os.seteuid(0)
    assert done.exit_code == Exit.STORAGE
    assert "use sudo" in done.output
