"""Actions from poses and from a detector's own maps, end to end: told by the daemon and by analyze alike."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from pipelines.skeleton import COCO_17
from pipelines.values import Image
from streamer.events import schemas
from streamer.models.store import ModelStore
from tests.clips import make_clip
from tests.daemon import Daemon
from tests.pipelines.actions.test_roi_pooling import write_branching, write_features
from tests.pipelines.actions.tiny_graph import write_tiny
from tests.pipelines.detect.tiny_models import yolov8_pose

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]

FPS, SECONDS = 12, 9
LIMIT_S = 60
ACTION = "streamer.action.detected.v1"
NOSE, WRIST = COCO_17.index("nose"), COCO_17.index("left_wrist")
ARM = ("left_wrist", "left_elbow", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
# Of COCO's 17 joints, in pixels of 64: a body that stands in the middle.
BODY = (
    *((32, 14), (31, 13), (33, 13), (30, 14), (34, 14), (27, 21), (37, 21), (25, 28), (39, 28)),
    *((25, 36), (39, 36), (29, 36), (35, 36), (29, 45), (35, 45), (29, 54), (35, 54)),
)


def write_waver(path: Path) -> Path:
    """A pose model of the YOLOv8 shape that sees one person whose left wrist is the higher, the brighter the
    picture; the nose is never a number."""
    joints = [(float(x), float(y), 0.9) for x, y in BODY]
    joints[NOSE] = (math.nan, math.nan, 0.9)
    person = [32.0, 34.0, 20.0, 46.0, 0.9, *(value for joint in joints for value in joint)]
    moves = [0.0] * len(person)
    moves[5 + 3 * WRIST + 1] = -30.0
    return yolov8_pose(path, [person], moves=moves, metadata={"names": "{0: 'person'}"})


def draw(number: int, width: int, height: int) -> Image:
    """Dark for four seconds, then brighter within one, and bright."""
    share = min(max(number / FPS - 4, 0), 1)
    image = np.full((height, width, 3), round(235 * share), np.uint8)
    image[:, :, 1] = 235 - image[:, :, 1]  # of green it is the other way round
    return image


def grey(number: int, width: int, height: int) -> Image:
    return np.repeat(draw(number, width, height)[:, :, :1], 3, axis=2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: make_clip(
            folder / f"{name}.mp4", frames=FPS * SECONDS, width=192, height=192, fps=FPS, draw=how
        )
        for name, how in (("pose", grey), ("maps", draw))
    }


@pytest.fixture
def daemon(short_dir: Path, tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir)
    store = ModelStore(daemon.state_dir / "models")
    store.add(write_waver(tmp_path / "waver.onnx"), "waver")
    store.add(write_branching(tmp_path / "branching.onnx"), "branching")
    yield daemon
    daemon.kill()


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    """A model of six joints in an order of its own, of which it watches the wrist."""
    labels = ("rest", "raise")
    return write_tiny(tmp_path / "arm.onnx", kind="pose", size=len(ARM), joints=ARM, labels=labels)


def camera(name: str, clip: Path, **more: Any) -> dict[str, Any]:
    return {"name": name, "url": str(clip), "source": {"realtime": False}, **more}


def told(events: list[dict[str, Any]]) -> list[str]:
    return [e["data"]["action"] for e in events if e["type"] == ACTION]


def test_a_raised_arm_is_told_by_the_daemon_once(daemon: Daemon, clips: dict[str, Path], arm: Path) -> None:
    daemon.write_camera(camera("yard", clips["pose"], model="waver", actions=str(arm)))
    daemon.write_camera(camera("plain", clips["pose"], model="waver"))
    daemon.start(wait=False)
    daemon.wait_for(lambda s: all(c["state"] == "ended" for c in s["cameras"]), LIMIT_S, "the clips' end")
    events = daemon.wait_for_events("yard", lambda e: e["type"] == ACTION, LIMIT_S)
    assert told(events) == ["raise"]
    data = next(e["data"] for e in events if e["type"] == ACTION)
    jsonschema.validate(data, schemas.get(ACTION))
    assert data["class"] == "person"
    assert not told(daemon.events("plain"))


def test_analyze_tells_it_too_also_from_stored_poses_and_draws_the_body(
    daemon: Daemon, clips: dict[str, Path], arm: Path, tmp_path: Path
) -> None:
    stored, out = tmp_path / "stored.npz", tmp_path / "out.mp4"
    for clip, more in ((clips["pose"], ("--detections", str(stored), "--render", str(out))), (stored, ())):
        path = tmp_path / "out.jsonl"
        model = () if clip == stored else ("--model", "waver")
        daemon.cli("analyze", str(clip), *model, "--actions", str(arm), "--events", str(path), *more)
        assert told([json.loads(line) for line in path.read_text().splitlines()]) == ["raise"]
    assert out.stat().st_size > 1000


def test_maps_are_told_by_the_daemon_and_by_analyze(
    daemon: Daemon, clips: dict[str, Path], tmp_path: Path
) -> None:
    detector = daemon.state_dir / "models/branching/model.onnx"
    model = write_features(tmp_path / "green.onnx", detector, whole_picture=True)
    out = tmp_path / "out.jsonl"
    daemon.cli(
        "analyze", str(clips["maps"]), "--model", "branching", "--actions", str(model), "--events", str(out)
    )
    (found,) = [e for e in map(json.loads, out.read_text().splitlines()) if e["type"] == ACTION]
    daemon.write_camera(camera("plain", clips["maps"], model="branching"))
    daemon.write_camera(camera("yard", clips["maps"], model="branching", actions=str(model)))
    daemon.start(wait=False)
    daemon.wait_for(lambda s: all(c["state"] == "ended" for c in s["cameras"]), LIMIT_S, "the clips' end")
    events = daemon.wait_for_events("yard", lambda e: e["type"] == ACTION, LIMIT_S)
    (live,) = [e["data"] for e in events if e["type"] == ACTION]
    assert live["action"] == found["data"]["action"] == "rise"
    assert "track_id" not in live
    assert not told(daemon.events("plain"))


def test_a_model_that_does_not_go_with_the_cameras_detector_is_one_line_and_the_others_go_on(
    daemon: Daemon, clips: dict[str, Path], arm: Path
) -> None:
    daemon.write_camera(camera("yard", clips["maps"], model="branching", actions=str(arm)))
    daemon.write_camera(camera("plain", clips["maps"], model="branching"))
    daemon.start(wait=False)
    status = daemon.wait_for(
        lambda s: (
            any(c["name"] == "plain" and c["state"] == "ended" for c in s["cameras"])
            and any(c["name"] == "yard" and c.get("warning") for c in s["cameras"])
        ),
        LIMIT_S,
        "the clip's end and the other camera's warning",
    )
    (warning,) = [c["warning"] for c in status["cameras"] if c["name"] == "yard"]
    assert "takes poses, and the detector gives none" in warning
    done = daemon.cli(
        "analyze", str(clips["maps"]), "--model", "branching", "--actions", str(arm), check=False
    )
    assert done.returncode == 5
    assert len(done.stderr.strip().splitlines()) == 1
