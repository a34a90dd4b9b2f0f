"""Case 31: a detector that answers NaN, infinite or negative boxes: those frames are dropped
and counted, its camera says so, and others in the same process are tracked and counted as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.daemon import Daemon
from tests.frame_balance import unaccounted
from tests.moving import camera
from tests.pipelines.detect.tiny_models import CELLS, table

pytestmark = pytest.mark.integration
ABSURD = {"nan": (0, np.nan), "infinite": (0, np.inf), "far": (0, 1e6), "negative": (2, -20.0)}


def absurd_model(path: Path, row: int, value: float) -> Path:
    """Its one box is none, and is shown in every picture that is not black."""
    answer = np.zeros((84, CELLS), np.float32)
    answer[:5, 3] = [32, 32, 16, 16, 1.0]
    answer[row, 3] = value
    return table(path, answer, lit_rows=slice(4, None))


def row(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in status["cameras"] if c["name"] == name)


def test_absurd_boxes_cost_their_frames_and_nothing_else(
    daemon: Daemon, moving_clip: Path, tmp_path: Path
) -> None:
    settings = daemon.config_dir / "streamer.yaml"
    settings.write_text(settings.read_text().replace("engine: motion", "engine: onnx"))
    for name, (place, value) in ABSURD.items():
        model = absurd_model(tmp_path / f"{name}.onnx", place, value)
        daemon.cli("model", "add", str(model), "--name", name)
        daemon.write_camera({**camera(f"c-{name}", moving_clip, loop=True), "model": name})
    daemon.write_camera({**camera("gate", moving_clip, loop=True), "model": "motion"})
    daemon.start()
    names = [f"c-{name}" for name in ABSURD]
    status = daemon.wait_for(
        lambda s: all(
            row(s, n)["frames"]["dropped"].get("refused", 0) > 20 and "frame not used" in row(s, n)["warning"]
            for n in names
        ),
        60,
        "refusals",
    )
    for name in names:
        assert row(status, name)["frames"]["inferred"] == 0
        assert unaccounted(row(status, name)["frames"]) == 0
    assert row(status, "gate")["warning"] == ""
    daemon.wait_for_events("gate", lambda e: e["type"] == "streamer.line.crossed.v1", 40)
    for name in names:
        kinds = {event["type"] for event in daemon.events(name)}
        assert not kinds & {"streamer.line.crossed.v1", "streamer.track.ended.v1"}
    assert row(daemon.status(), "gate")["frames"]["dropped"].get("refused", 0) == 0
    assert daemon.worker("infer-0")["restarts"] == 0
    assert daemon.stop() == 0


def test_a_model_with_a_million_boxes_is_refused_at_the_door(daemon: Daemon, tmp_path: Path) -> None:
    """Its picture of 64 x 64 can hold 84: what a model answers at most is known before it runs."""
    answer = np.zeros((5, 1_000_000), np.float32)
    answer[4] = 1.0
    million = table(tmp_path / "million.onnx", answer, metadata={"names": "{0: 'person'}"})
    refused = daemon.cli("model", "add", str(million), check=False)
    assert refused.returncode == 5
    assert "[1,5,1000000]" in refused.stderr
    assert "Traceback" not in refused.stderr
