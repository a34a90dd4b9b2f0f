"""`streamer model export`: a child converts, and nothing in the file runs unless it is trusted by name."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamer.cli.main import cli
from streamer.errors import Exit, ModelError
from streamer.models import export as model_export
from streamer.models.export import export_to_onnx
from tests.patience import patient


class Runs:
    """Its pickle runs a command when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def home(short_dir: Path) -> Path:
    (short_dir / "streamer.yaml").write_text(f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n")
    return short_dir


def model(home: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--config", str(home), "model", *map(str, words)])


def pickled(path: Path, mark: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("best/data.pkl", pickle.dumps({"model": Runs(mark)}, protocol=2))
        file.writestr("best/version", "3")
        file.writestr("best/byteorder", "little")
    return path


def test_without_torch_it_says_how_to_install_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_export, "has_torch", lambda: False)
    done = model(home, "export", pickled(tmp_path / "best.pt", tmp_path / "harmed"))
    assert done.exit_code == Exit.MODEL
    assert "make install EXTRAS=torch" in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("size", "why"), [("100", "multiples of 32"), ("big", "a number of pixels"), ("640x", "a number")]
)
def test_a_size_that_is_none_is_refused(size: str, why: str, home: Path, tmp_path: Path) -> None:
    done = model(home, "export", tmp_path / "best.pt", "--size", size)
    assert done.exit_code == Exit.MODEL
    assert why in done.output


def test_what_a_child_leaves_behind_becomes_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is a real process; only what it runs is another program."""
    source = pickled(tmp_path / "best.pt", tmp_path / "harmed")
    monkeypatch.setattr(model_export, "has_torch", lambda: True)
    programs = {
        "import os; os.kill(os.getpid(), 9)": "killed by signal 9: out of memory",
        "import sys; sys.exit('boom at\\nline 7')": "ended with 1: boom at line 7",
        "print('no json')": "ended with 0",
        """print('{"ok": false, "problem": "best.pt: is odd"}')""": "^best.pt: is odd$",
        "import time; time.sleep(60)": "more than 2 s",
    }
    real = model_export.subprocess.Popen
    for program, why in programs.items():

        def started(command: list[str], program: str = program, **further: object) -> object:
            return real([command[0], "-c", program], **further)  # type: ignore[call-overload]

        with monkeypatch.context() as patch:
            patch.setattr(model_export.subprocess, "Popen", started)
            with pytest.raises(ModelError, match=why) as refusal:
                export_to_onnx(
                    source, tmp_path / "out.onnx", timeout_s=2 if "sleep" in program else patient(30)
                )
        assert "\n" not in str(refusal.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.pt"]


@pytest.mark.torch
def test_a_pickle_in_disguise_is_refused_and_not_run(home: Path, tmp_path: Path) -> None:
    mark = tmp_path / "harmed"
    done = model(home, "export", pickled(tmp_path / "best.pt", mark))
    assert done.exit_code == Exit.MODEL
    assert "posix.system" in done.output
    assert "--trust" in done.output
    assert not mark.exists()


@pytest.mark.torch
def test_a_trusted_file_is_loaded_as_it_is(home: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    done = model(home, "export", pickled(tmp_path / "best.pt", mark), "--trust")
    assert done.exit_code == Exit.MODEL
    assert "no detector of Ultralytics" in done.output
    assert mark.exists()


@pytest.mark.torch
def test_an_exported_model_finds_what_the_pt_finds(home: Path, tmp_path: Path) -> None:
    import numpy as np

    from pipelines.detect.card import ModelCard
    from pipelines.registry import create_detector
    from pipelines.values import Frame, Stamp
    from streamer.models.store import ModelStore
    from tests.pipelines.detect import ultralytics_files as files

    file = files.save(files.detector(classes=3, seed=4), tmp_path / "best.pt")
    for words in ((), ("--trust", "--name", "trusted")):
        done = model(home, "export", file, "--size", "128x96", *words)
        assert done.exit_code == 0, done.output
        assert "AGPL-3.0" in done.output
    store = ModelStore(home / "state/models")
    size = ModelCard(input_size=(128, 96), precision="f32")
    theirs = create_detector("torch", file, sidecar=size, score=0.003)
    random = np.random.default_rng(1)
    frame = Frame(Stamp("door", 1, 0, 0, 0, 0), random.integers(0, 255, (96, 128, 3), np.uint8))
    wanted = theirs.collect(theirs.submit([frame]))[0]
    assert len(wanted) > 0
    for name in ("best", "trusted"):
        ours = create_detector("onnx", store.get(name).path, score=0.003)
        found = ours.collect(ours.submit([frame]))[0]
        assert len(found) == len(wanted)
        assert np.abs(np.sort(found.scores) - np.sort(wanted.scores)).max() < 1e-3
        assert np.abs(np.sort(found.boxes_xyxyn, 0) - np.sort(wanted.boxes_xyxyn, 0)).max() < 2e-3
