"""The model that comes with the package: who falls is told, who walks is not."""

from __future__ import annotations

import numpy as np

from pipelines.actions.action_frame import ActionFrame
from pipelines.actions.card import model_path
from pipelines.actions.engine import ActionEngine
from pipelines.actions.runtime import ActionModel
from pipelines.train.actions.data import LabelledSequence
from pipelines.train.actions.tracks import make_tracks
from pipelines.values import Labels, Stamp, Tracks

LABELS = Labels(("person",), ("person",))


def told_of(item: LabelledSequence) -> set[str]:
    """The actions that the live engine tells of one made track."""
    engine = ActionEngine(ActionModel(model_path("motion")), LABELS)
    engine.open_camera("a")
    found = set()
    for i, (time_s, (x, y, w, h)) in enumerate(zip(item.times_s, item.values, strict=True)):
        box = np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]], np.float32)
        tracks = Tracks(
            np.ones(1, np.int64), box, np.ones(1, np.float32), np.zeros(1, np.int32), np.ones(1, np.bool_),
            np.zeros((1, 2), np.float32),
        )  # fmt: skip
        seen = ActionFrame(Stamp("a", 1, i, round(time_s * 1e9), 0, 0), tracks, 1.0)
        found |= {e.data["action"] for e in engine.update([seen])[0]}
    return found


def test_falls_and_runs_of_tracks_that_it_never_saw_are_told_and_walks_are_not() -> None:
    told = [(item.name.split("-")[0], told_of(item)) for item in make_tracks(60, seed=7).sequences]
    assert sum("fall" in found for label, found in told if label == "fall") >= 11  # of 12
    assert sum("run" in found for label, found in told if label == "run") >= 11
    assert (
        sum(bool(found & {"fall", "run"}) for label, found in told if label in ("stand", "walk")) <= 2
    )  # of 24
