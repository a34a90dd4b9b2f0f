"""Scenes end to end: by day and by night, from the picture to Redis, while the daemon runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from pipelines.values import Image
from streamer.events import schemas
from tests.clips import make_clip
from tests.daemon import Daemon
from tests.patience import patient
from tests.scenes import write_classifier

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]

FPS, DAY_S, NIGHT_S = 10, 6, 6
CHANGED = "streamer.scene.changed.v1"


def draw(number: int, width: int, height: int) -> Image:
    return np.full((height, width, 3), 220 if number < FPS * DAY_S else 20, np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "light.mp4"
    return make_clip(path, frames=FPS * (DAY_S + NIGHT_S), width=160, height=96, fps=FPS, draw=draw)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("models"))


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir)
    yield daemon
    daemon.kill()


def scenes(daemon: Daemon, camera: str) -> list[dict[str, Any]]:
    return [e for e in daemon.events(camera) if e["type"] == CHANGED]


def _label(camera: dict[str, Any]) -> str | None:
    return camera["scene"]["scene"]["label"] if camera["scene"] else None


def test_a_clips_scenes_are_events_of_the_camera_that_was_asked(
    daemon: Daemon, clip: Path, model: Path
) -> None:
    source = {"realtime": False}
    daemon.write_camera(
        {"name": "gate", "url": str(clip), "source": source, "scene": {"model": str(model), "interval_s": 1}}
    )
    daemon.write_camera({"name": "plain", "url": str(clip), "source": source})
    daemon.start()
    daemon.wait_for(lambda s: all(c["state"] == "ended" for c in s["cameras"]), 60, "the clips' end")
    daemon.wait_for_events("gate", lambda e: e["data"].get("previous") == "night", 10)
    told = scenes(daemon, "gate")
    assert [e["data"]["scene"] for e in told] == ["day", "night", "unknown"]
    for event in told:
        jsonschema.validate(event["data"], schemas.get(CHANGED))
        assert event["subject"] == "scene"
    assert told[1]["data"]["start_media_ns"] == pytest.approx(DAY_S * 1e9, abs=1.1e9)
    assert scenes(daemon, "plain") == []
    assert daemon.camera("gate")["scene"] is None  # nobody looks at a clip that has ended
    assert daemon.stop() == 0


def test_a_running_camera_is_asked_and_tells_its_state(daemon: Daemon, clip: Path, model: Path) -> None:
    daemon.write_camera({"name": "gate", "url": str(clip), "source": {"loop": True}})
    daemon.start()
    assert daemon.camera("gate")["scene"] is None
    daemon.cli("camera", "set", "gate", f"scene={model}", "scene_interval_s=0.5")
    status = daemon.wait_for(lambda s: _label(s["cameras"][0]) in ("day", "night"), 30, "a scene")
    assert status["cameras"][0]["scene"]["scene"]["probability"] > 0.9
    key = f"streamer:{{{status['node']}/gate}}:state"
    deadline_s = time.monotonic() + patient(15)
    with daemon.redis() as client:
        while not (told := json.loads(client.hget(key, "scene") or "null")) or not told["scene"]["since_ns"]:
            assert time.monotonic() < deadline_s, (
                "no look at the scene in Redis"
            )  # since_ns 0: not looked yet
            time.sleep(0.1)
    assert told["scene"]["label"] in ("day", "night", "unknown")
    assert told["scene"]["since_ns"] > 1.7e18
    assert "gate shows scene " in daemon.cli("status").stdout
    daemon.cli("camera", "set", "gate", "scene=")
    daemon.wait_for(lambda s: s["cameras"][0]["scene"] is None, 15, "no scene")
    events = daemon.wait_for_events("gate", lambda e: e["type"] == CHANGED, 10)
    assert [e["data"]["scene"] for e in events if e["type"] == CHANGED][-1] == "unknown"


def test_a_model_that_cannot_be_used_is_one_line_and_the_camera_goes_on(
    daemon: Daemon, clip: Path, tmp_path: Path, model: Path
) -> None:
    daemon.write_camera(
        {"name": "gate", "url": str(clip), "source": {"loop": True}, "scene": {"model": "/none/x.onnx"}}
    )
    daemon.start()
    status = daemon.wait_for(lambda s: s["cameras"][0]["warning"], 20, "a complaint")
    assert status["cameras"][0]["warning"].startswith("scene: /none/x.onnx")
    assert status["cameras"][0]["trouble"] == status["cameras"][0]["warning"], "its older name"
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 20, "frames all the same")
    edited = tmp_path / model.name
    edited.write_bytes(model.read_bytes() + b"\0")
    edited.with_suffix(".yaml").write_text(model.with_suffix(".yaml").read_text())
    done = daemon.cli("camera", "set", "gate", f"scene={edited}", check=False)
    assert done.returncode == 5
    assert "not an ONNX model, or damaged" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    done = daemon.cli("camera", "set", "gate", "scene_interval_s=0", check=False)
    assert done.returncode
    assert "scene.interval_s" in done.stderr


def test_analyze_says_how_long_each_scene_was_seen(
    clip: Path, model: Path, daemon: Daemon, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    asked = ("analyze", str(clip), "--scene", str(model), "--scene-interval", "0.5")
    found = json.loads(daemon.cli(*asked, "--events", str(out), "--json").stdout)["scenes"]["scene"]
    assert found["day"] == pytest.approx(DAY_S, abs=0.6)
    assert found["night"] == pytest.approx(NIGHT_S, abs=0.7)
    told = [e for e in map(json.loads, out.read_text().splitlines()) if e["type"] == CHANGED]
    assert [e["data"]["scene"] for e in told] == ["day", "night", "unknown"]
    assert "night" in daemon.cli(*asked).stdout


def test_analyze_refuses_a_scene_where_there_are_no_pictures(daemon: Daemon, tmp_path: Path) -> None:
    done = daemon.cli("analyze", str(tmp_path / "x.npz"), "--scene", "m.onnx", check=False)
    assert "have no pictures" in done.stderr
    done = daemon.cli("analyze", str(tmp_path / "x.mp4"), "--scene-interval", "3", check=False)
    assert "--scene-interval is for --scene" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
