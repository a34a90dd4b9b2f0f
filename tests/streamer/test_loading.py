"""The thread that loads models, from which an engine's own threads take their niceness over."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.pipeline import Pipeline
from pipelines.spec import ActionsSpec, PipelineSpec
from pipelines.values import Frame, Stamp
from streamer.models.store import ModelStore
from streamer.workers.infer.loader import MAX_RETRY_S, RETRY_S, PipelineLoader
from tests.patience import patient
from tests.pipelines.actions.test_roi_pooling import write_branching, write_features

SCRIPT = """
import os, sys, threading
from pathlib import Path
from pipelines.pipeline import Pipeline
from pipelines.spec import PipelineSpec
from streamer.workers.infer import loader as loading

found = []
def load(self, spec_json):
    found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    return real(self, spec_json)
real, loading.PipelineLoader._load = loading.PipelineLoader._load, load

os.nice(int(sys.argv[2]))
done = threading.Event()
loader = loading.PipelineLoader(Path(sys.argv[1]), "motion", 1, done.set)
spec = PipelineSpec(name="default", detector="motion").model_dump_json()
loader.start_loading(spec)
assert done.wait(30)
print(type(loader.get(spec)) is Pipeline, found[0] - os.getpriority(os.PRIO_PROCESS, 0))
"""


@pytest.mark.parametrize("before", [0, 15])
def test_models_load_on_a_nicer_thread_also_in_a_process_that_is_nice_already(
    before: int, tmp_path: Path
) -> None:
    usual = min(os.getpriority(os.PRIO_PROCESS, 0) + before, 19)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(before)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=False)
    assert done.stdout.split() == ["True", str(min(10, 19 - usual))], done.stderr


def test_pipelines_that_differ_in_actions_alone_share_one_detector(tmp_path: Path) -> None:
    """Each had one of its own: a camera with actions and one without took twice the memory."""
    store = ModelStore(tmp_path / "models")
    store.add(write_branching(tmp_path / "branching.onnx"), "m")
    model = write_features(tmp_path / "f.onnx", store.get("m").path, whole_picture=True)
    loader = PipelineLoader(tmp_path, "onnx", 1, lambda: None)
    plain = PipelineSpec(name="default", model="m")
    by_maps = plain.model_copy(update={"actions": ActionsSpec(model=str(model))})
    other_score = plain.model_copy(update={"score": 0.6})
    one, two, three = (loader._load(s.model_dump_json()) for s in (plain, by_maps, other_score))
    assert one.detector is two.detector
    assert three.detector is not one.detector
    for pipeline in (one, two):
        pipeline.open_camera("a", CameraRules())
        (result,) = pipeline.step([Frame(Stamp("a", 1, 0, 0, 0, 0), np.zeros((48, 64, 3), np.uint8))])
        assert len(result.detections) == 1
    gone = weakref.ref(one.detector)
    del one, two, pipeline
    assert gone() is None


def test_a_file_that_was_replaced_is_loaded_anew(tmp_path: Path) -> None:
    file = write_branching(tmp_path / "m.onnx")
    loader = PipelineLoader(tmp_path, "onnx", 1, lambda: None)
    spec = PipelineSpec(name="default", model=str(file)).model_dump_json()
    before = loader._load(spec)
    assert loader._load(spec).detector is before.detector
    file.unlink()
    write_branching(file, strides=(16,))
    assert loader._load(spec).detector is not before.detector


def _outcome(loader: PipelineLoader, spec: str) -> Pipeline | str:
    deadline_s = time.monotonic() + patient(20)
    while (found := loader.get(spec)) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return found


def test_what_failed_is_tried_again_when_its_file_changes_and_else_more_and_more_seldom(
    tmp_path: Path,
) -> None:
    file = tmp_path / "m.onnx"
    loader = PipelineLoader(tmp_path, "onnx", 1, lambda: None)
    spec = PipelineSpec(name="default", model=str(file)).model_dump_json()
    loader.start_loading(spec)
    assert "no such model file" in str(_outcome(loader, spec))
    now_s = time.monotonic()
    assert not loader.retry(now_s)
    assert loader.retry(now_s + RETRY_S), "the pause is over"
    assert "no such model file" in str(_outcome(loader, spec))
    assert not loader.retry(now_s + RETRY_S), "the second pause is longer"
    for _ in range(6):
        assert loader.retry(time.monotonic() + MAX_RETRY_S), "and no pause is longer than this"
        _outcome(loader, spec)
    file.write_bytes(b"half of a model")
    assert loader.retry(now_s), "there is a file now"
    assert "not an ONNX model" in str(_outcome(loader, spec))
    file.unlink()
    write_branching(file)
    assert loader.retry(now_s)
    assert isinstance(_outcome(loader, spec), Pipeline)
    assert not loader.retry(now_s + 1e6), "nothing is left to mend"


def test_what_no_camera_asks_for_any_more_is_not_tried_again(tmp_path: Path) -> None:
    loader = PipelineLoader(tmp_path, "onnx", 1, lambda: None)
    spec = PipelineSpec(name="default", model="/none/x.onnx").model_dump_json()
    loader.start_loading(spec)
    _outcome(loader, spec)
    loader.keep_only(set())
    assert not loader.retry(time.monotonic() + 1e6)


def test_an_error_that_nobody_foresaw_does_not_end_the_loading_of_other_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread died of it, and the model stayed in the queue: nothing was ever loaded again."""
    load = PipelineLoader._load

    def broken(self: PipelineLoader, spec_json: str) -> Pipeline:
        if '"broken"' in spec_json:
            raise RuntimeError("an engine's own error\nwith more lines")
        return load(self, spec_json)

    monkeypatch.setattr(PipelineLoader, "_load", broken)
    done = threading.Semaphore(0)
    loader = PipelineLoader(tmp_path, "motion", 1, done.release)
    bad = PipelineSpec(name="broken", detector="motion").model_dump_json()
    good = PipelineSpec(name="good", detector="motion").model_dump_json()
    for spec in (bad, good):
        loader.start_loading(spec)
    for _ in range(2):
        assert done.acquire(timeout=30)
    assert loader.get(bad) == "unexpected RuntimeError: an engine's own error (the log has more)"
    assert isinstance(loader.get(good), Pipeline)
    assert "with more lines" in caplog.text
