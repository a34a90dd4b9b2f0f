"""Actions end to end: a person who runs to and fro is told by the daemon and by analyze, once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipelines.actions.card import BUNDLED
from pipelines.values import Image
from streamer.events import schemas
from streamer.models.store import ModelStore
from tests.clips import make_clip
from tests.daemon import Daemon

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]

FPS, SECONDS, CROSS_S = 12, 12, 2.6
ACTION = "streamer.action.detected.v1"


def write_runner(path: Path) -> Path:
    """A detector of the YOLOv8 shape that sees one person: the brighter the picture, the further right."""
    cells = 84
    still, moves = np.zeros((1, 5, cells), np.float32), np.zeros((1, 5, cells), np.float32)
    still[0, :, 0] = 6, 36, 4, 11, 0.9  # centre, width and height of 64 pixels, score
    moves[0, 0, 0] = 52
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["bright"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["bright", "one"], ["b"]),
        helper.make_node("Mul", ["b", "moves"], ["moved"]),
        helper.make_node("Add", ["moved", "still"], ["output0"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 1, 1], np.int64), "one"),
        numpy_helper.from_array(still, "still"),
        numpy_helper.from_array(moves, "moves"),
    ]
    graph = helper.make_graph(
        nodes,
        "runner",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 5, cells])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model.metadata_props.add(key="names", value="{0: 'person'}")
    onnx.save(model, path)
    return path


def draw(number: int, width: int, height: int) -> Image:
    """Brightness rises and falls: the person runs across the picture and back."""
    phase = (number / FPS / CROSS_S) % 2
    return np.full((height, width, 3), round(255 * min(phase, 2 - phase)), np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "run.mp4"
    return make_clip(path, frames=FPS * SECONDS, width=192, height=192, fps=FPS, draw=draw)


@pytest.fixture
def daemon(short_dir: Path, tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir)
    ModelStore(daemon.state_dir / "models").add(write_runner(tmp_path / "runner.onnx"), "runner")
    yield daemon
    daemon.kill()


def camera(name: str, clip: Path, pipeline: str) -> dict[str, Any]:
    return {"name": name, "url": str(clip), "pipeline": pipeline, "source": {"realtime": False}}


def test_who_runs_is_told_in_redis_by_the_camera_that_was_asked(daemon: Daemon, clip: Path) -> None:
    daemon.write_camera(camera("yard", clip, "actions"))
    daemon.write_camera(camera("plain", clip, "default"))
    daemon.start()
    daemon.wait_for(lambda s: all(c["state"] == "ended" for c in s["cameras"]), 60, "the clips' end")
    events = daemon.wait_for_events("yard", lambda e: e["type"] == ACTION, 10)
    told = [e for e in events if e["type"] == ACTION]
    assert {e["data"]["action"] for e in told} == {"run"}
    assert len(told) <= 3  # of 4 ways across the picture: not one a window
    jsonschema.validate(told[0]["data"], schemas.get(ACTION))
    assert told[0]["data"]["class"] == "person"
    assert [e["data"]["seq"] for e in events] == list(range(1, len(events) + 1))
    assert not [e for e in daemon.events("plain") if e["type"] == ACTION]
    assert daemon.stop() == 0


def test_a_camera_counts_without_its_actions_until_their_model_is_mended(
    daemon: Daemon, clip: Path, tmp_path: Path
) -> None:
    """It stayed without any detection."""
    for file in BUNDLED.glob("motion.*"):
        shutil.copy(file, tmp_path)
    model = tmp_path / "motion.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    line = {"name": "middle", "points": [[0.5, 0.0], [0.5, 1.0]]}
    daemon.write_camera(
        {
            **camera("yard", clip, "default"),
            "model": "runner",
            "actions": str(model),
            "source": {"loop": True},
            "rules": {"lines": [line]},
        }
    )
    daemon.start()
    crossed = "streamer.line.crossed.v1"
    events = daemon.wait_for_events("yard", lambda e: e["type"] == crossed, 40)
    assert ACTION not in {e["type"] for e in events}
    warning = daemon.camera("yard")["warning"]
    assert warning.endswith("; it counts without actions")
    assert str(model) in warning
    assert warning in daemon.log()
    model.write_bytes(whole)
    daemon.wait_for_events("yard", lambda e: e["type"] == ACTION, 40)
    assert daemon.camera("yard")["warning"] == ""


def test_analyze_tells_the_same_of_the_clip(clip: Path, daemon: Daemon, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = daemon.cli(
        "analyze", str(clip), "--model", "runner", "--actions", "motion", "--events", str(out), "--json"
    )
    told = [e for e in map(json.loads, out.read_text().splitlines()) if e["type"] == ACTION]
    assert {e["data"]["action"] for e in told} == {"run"}
    assert json.loads(done.stdout)["analytics"]["action.detected"]["run"]["events"] == len(told)


@pytest.mark.parametrize(
    ("model", "why"), [("dance", "no model of actions"), ("/none/x.onnx", "/none/x.onnx: no such model file")]
)
def test_a_model_of_actions_that_is_not_there_is_one_line(
    clip: Path, daemon: Daemon, model: str, why: str
) -> None:
    done = daemon.cli("analyze", str(clip), "--model", "runner", "--actions", model, check=False)
    assert done.returncode == 5
    assert why in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
