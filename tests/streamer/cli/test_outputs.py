"""No command writes over what it reads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streamer.cli.output_paths import check_folder, check_outputs
from streamer.config.schema import LEDGER_FILE
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError, Exit, StorageError
from streamer.ledger import Ledger
from tests.clips import make_clip
from tests.streamer.cli.conftest import Run

LOST = "is read here, and would be lost: give the output another name"
TORCH = pytest.mark.torch


@pytest.fixture
def here(short_dir: Path, store: ConfigStore, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip, its truth, a model with its sidecar, and a ledger."""
    make_clip(short_dir / "clip.mp4", frames=5)
    (short_dir / "truth.csv").write_text("time,line,direction,class\n")
    for name in ("model.onnx", "model.yaml", "best.pt"):
        (short_dir / name).write_bytes(b"no model")
    config = store.load()
    Ledger(config.state_path / LEDGER_FILE, "node-1", max_bytes=1 << 26, retention_days=9).close()
    monkeypatch.chdir(short_dir)
    return short_dir


EVALUATE = (
    "evaluate",
    "clip.mp4",
    "--truth",
    "truth.csv",
    "--line",
    "a=0,0.5,1,0.5",
    "--model",
    "model.onnx",
)


@pytest.mark.parametrize(
    ("args", "option", "file"),
    [
        (EVALUATE, "--report", "clip.mp4"),
        (EVALUATE, "--report", "truth.csv"),
        (EVALUATE, "--report", "model.onnx"),
        (EVALUATE, "--report", "model.yaml"),
        (EVALUATE, "--report", "config/streamer.yaml"),
        (("analyze", "clip.mp4", "--model", "model.onnx"), "--events", "model.yaml"),
        (("explain", "gate/1"), "--picture", f"state/{LEDGER_FILE}"),
        (("model", "export", "best.pt"), "--output", "best.pt"),
    ],
)
def test_an_output_over_what_is_read_is_refused_in_one_line(
    run: Run, here: Path, args: tuple[str, ...], option: str, file: str
) -> None:
    before = (here / file).read_bytes()
    (here / "another name").symlink_to(here / file)
    for name in (file, str(here / file), "another name"):
        result = run(*args, option, name)
        assert (result.exit_code, result.stderr) == (Exit.CONFIG, f"error: {name}: {LOST}\n")
    assert (here / file).read_bytes() == before


def test_a_snapshot_is_not_written_over_the_clip_it_is_of(run: Run, here: Path) -> None:
    clip = shutil.copy(here / "clip.mp4", here / "clip.png")
    for url in (str(clip), f"file://{clip}"):
        assert run("camera", "add", "gate", url).exit_code == 0
        result = run("camera", "snapshot", "gate", "-o", "clip.png")
        assert (result.exit_code, result.stderr) == (Exit.CONFIG, f"error: clip.png: {LOST}\n")
        run("camera", "remove", "gate")


def test_pictures_are_not_put_beside_labels_of_other_classes_and_drafts_that_are_there_stay(
    run: Run, here: Path
) -> None:
    (here / "other").mkdir()
    (here / "other/classes.txt").write_text("cat\ndog\n")
    result = run("model", "collect", "clip.mp4", "--out", "other")
    assert result.exit_code == Exit.STORAGE
    assert "names other classes" in result.stderr
    assert (here / "other/classes.txt").read_text() == "cat\ndog\n"
    assert run("model", "collect", "clip.mp4", "--out", "clip.mp4").exit_code == Exit.STORAGE
    assert run("model", "collect", "clip.mp4", "--drafts").exit_code == 0
    (draft,) = (here / "clip-pictures/drafts").iterdir()
    draft.write_text("0 0.5 0.5 0.1 0.1\n")
    assert run("model", "collect", "clip.mp4", "--drafts").exit_code == 0
    assert draft.read_text() == "0 0.5 0.5 0.1 0.1\n"


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("actions", "train", "data", "--out", "data"), marks=TORCH),
        pytest.param(("actions", "train", "data", "--out", "data/walk"), marks=TORCH),
        pytest.param(
            ("actions", "train", "data", "--out", "out", "--cache", "data"), marks=pytest.mark.torch
        ),
        ("actions", "evaluate", "model.onnx", "data", "--cache", "data/cache"),
    ],
)
def test_a_folder_in_the_data_that_is_read_is_refused(run: Run, here: Path, args: tuple[str, ...]) -> None:
    (here / "data/walk").mkdir(parents=True)
    make_clip(here / "data/walk/a.mp4", frames=5)
    before = sorted((here / "data").rglob("*"))
    result = run(*args)
    assert result.exit_code == Exit.CONFIG
    assert result.stderr == f"error: {args[-1]}: lies in data, which is read here: give a folder elsewhere\n"
    assert sorted((here / "data").rglob("*")) == before


@pytest.mark.torch
def test_weights_are_not_replaced_by_the_model_that_is_made_of_them(run: Run, here: Path) -> None:
    (here / "data/walk").mkdir(parents=True)
    make_clip(here / "data/walk/a.mp4", frames=5)
    (here / "out").mkdir()
    (here / "out/model.pt").write_bytes(b"weights")
    made = ("--out", "out", "--backbone", "resnet18", "--weights", "out/model.pt")
    assert run("actions", "train", "data", *made).stderr == f"error: out/model.pt: {LOST}\n"
    (here / "model.onnx").unlink()
    (here / "model.onnx").symlink_to("out/model.pt")
    assert run("actions", "export", "out", "--to", "model.onnx").stderr == f"error: model.onnx: {LOST}\n"


def test_what_could_not_be_written_at_the_end_is_refused_at_once(tmp_path: Path) -> None:
    for output, error in ((tmp_path, "is a folder"), (tmp_path / "none/x", "there is no folder")):
        with pytest.raises(StorageError, match=error):
            check_outputs((output,), ())
    with pytest.raises(ConfigError, match="two outputs have one name"):
        check_outputs((tmp_path / "x", None, tmp_path / "." / "x"), ())
    (tmp_path / "x").touch()
    with pytest.raises(StorageError, match="is a file"):
        check_folder(tmp_path / "x", ())
    check_outputs((tmp_path / "x",), ("synthetic:street", tmp_path, tmp_path / "y", None))
    check_folder(tmp_path / "out", (tmp_path / "data",))
