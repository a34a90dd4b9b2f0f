"""The live engine: one event for one action of one track, bounded state, and the same after a restart."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from pipelines.actions.action_frame import ActionFrame
from pipelines.actions.engine import ActionEngine, EngineSettings
from pipelines.actions.runtime import ActionModel
from pipelines.camera_rules import CameraRules
from pipelines.pipeline import Pipeline
from pipelines.values import Event, Labels, Stamp, Tracks
from tests.pipelines.actions.tiny_graph import write_tiny

LABELS = Labels(("person", "car"), ("person", "vehicle"))
FPS = 10


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ActionModel:
    return ActionModel(write_tiny(tmp_path_factory.mktemp("m") / "m.onnx"))


def tracks(boxes: dict[int, tuple[float, float]], classes: dict[int, int] | None = None) -> Tracks:
    """Track id -> (x, y) of a box's top left corner, 0.1 wide and 0.2 high."""
    n = len(boxes)
    corners = np.array([[x, y, x + 0.1, y + 0.2] for x, y in boxes.values()], np.float32).reshape(n, 4)
    ids = np.array([(classes or {}).get(k, 0) for k in boxes], np.int32)
    return Tracks(
        np.array(list(boxes), np.int64), corners, np.ones(n, np.float32), ids, np.ones(n, np.bool_),
        np.zeros((n, 2), np.float32),
    )  # fmt: skip


def seen(i: int, found: Tracks, camera: str = "a", epoch: int = 1) -> ActionFrame:
    return ActionFrame(Stamp(camera, epoch, i, round(5e9 + i * 1e9 / FPS), 10**18 + i, 0), found, 16 / 9)


def y_at(i: int) -> float:
    """Still for two seconds, then up for two, then still again."""
    return 0.7 - 0.02 * min(max(i - 20, 0), 20)


def play(engine: ActionEngine, first: int, last: int, camera: str = "a", **more: Any) -> list[Event]:
    return [
        e
        for i in range(first, last)
        for e in engine.update([seen(i, tracks({1: (0.4, y_at(i)), 2: (0.1, 0.5)}, **more), camera)])[0]
    ]


def engine_of(model: ActionModel, *cameras: str, **settings: Any) -> ActionEngine:
    engine = ActionEngine(model, LABELS, EngineSettings(**settings))
    for camera in cameras or ("a",):
        engine.open_camera(camera)
    return engine


def test_one_rise_is_one_event_of_the_track_that_rose(model: ActionModel) -> None:
    (event,) = play(engine_of(model), 0, 100)
    data = event.data
    assert event.type == "streamer.action.detected.v1"
    assert (data["action"], data["track_id"], data["class"], event.subject) == ("rise", 1, "person", "rise")
    assert 0.5 <= data["probability"] <= 1
    start_s, end_s = ((data[f"{k}_media_ns"] - 5e9) / 1e9 for k in ("start", "end"))
    assert 2.0 < start_s < 3.5
    assert end_s - start_s >= 0.5
    assert event.stamp.media_ns >= data["end_media_ns"]
    json.dumps(dict(data))


def test_what_is_done_again_at_once_is_told_again_unless_a_pause_is_asked_for(model: ActionModel) -> None:
    def nodding(i: int) -> Tracks:
        return tracks({1: (0.4, y_at(i % 60))})  # up for two seconds in each six

    told = []
    for pause_s in (0.0, 10.0):
        engine = engine_of(model, pause_s=pause_s)
        told.append(sum(len(engine.update([seen(i, nodding(i))])[0]) for i in range(240)))
    assert told == [4, 1]


def test_classes_that_leave_nobody_to_look_at_are_refused(tmp_path: Path) -> None:
    engine = engine_of(ActionModel(write_tiny(tmp_path / "m.onnx", groups=("person",))))
    for fine in ((), ("person",), ("car", "person"), ("vehicle", "person")):
        engine.check_classes(fine)
    for wrong in (("car",), ("vehicle",)):
        with pytest.raises(ValueError, match="looks at person, of which the camera's classes leave nothing"):
            engine.check_classes(wrong)
        pipeline = Pipeline(SimpleNamespace(labels=LABELS), engine)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="leave nothing"):
            pipeline.open_camera("a", CameraRules(classes=wrong))
        pipeline.open_camera("a", CameraRules())
        with pytest.raises(ValueError, match="leave nothing"):
            pipeline.set_rules("a", CameraRules(classes=wrong))


def test_the_event_says_which_moments_decided_it(model: ActionModel) -> None:
    (event,) = play(engine_of(model), 0, 100)
    weights = event.data["attention"]
    assert len(weights) == model.card.window
    assert sum(w["weight"] for w in weights) == pytest.approx(1, abs=0.01)
    moments = [w["media_ns"] for w in weights]
    assert moments == sorted(moments)
    assert moments[-1] <= event.stamp.media_ns


def test_cameras_that_are_classified_together_say_what_each_says_alone(model: ActionModel) -> None:
    both = engine_of(model, "a", "b")
    together: list[Event] = []
    for i in range(100):
        found = tracks({1: (0.4, y_at(i))})
        still = tracks({1: (0.4, 0.5), 2: (0.7, 0.2)})
        events_a, events_b = both.update([seen(i, found, "a"), seen(i, still, "b")])
        assert events_b == []
        together += events_a
    (alone,) = play(engine_of(model), 0, 100)
    assert [e.data["start_media_ns"] for e in together] == [alone.data["start_media_ns"]]


def test_after_a_restart_in_the_middle_the_same_event_comes_and_comes_once(model: ActionModel) -> None:
    (expected,) = play(engine_of(model), 0, 100)
    for moment in (15, 26, 33, 60):
        first = engine_of(model)
        events = play(first, 0, moment)
        saved = msgspec.json.decode(msgspec.json.encode(first.save("a")))  # takes no numpy scalars
        second = engine_of(model)
        second.restore("a", saved)
        events += play(second, moment, 100)
        assert [e.data["start_media_ns"] for e in events] == [expected.data["start_media_ns"]]


def test_tracks_that_are_gone_are_forgotten(model: ActionModel) -> None:
    engine = engine_of(model)
    for i in range(300):
        engine.update([seen(i, tracks({i: (0.5, 0.5)}))])
    assert len(engine.save("a")["tracks"]) <= 3.2 * FPS


def test_no_crowd_makes_it_grow_without_bound(model: ActionModel) -> None:
    engine = engine_of(model)
    engine.update([seen(0, tracks(dict.fromkeys(range(1000), (0.5, 0.5))))])
    assert len(engine.save("a")["tracks"]) == 256


def test_a_new_epoch_begins_anew(model: ActionModel) -> None:
    engine = engine_of(model)
    play(engine, 0, 30)
    engine.update([seen(0, tracks({7: (0.4, 0.4)}), epoch=2)])
    assert list(engine.save("a")["tracks"]) == ["7"]


def test_only_the_groups_that_are_asked_for_are_looked_at(model: ActionModel) -> None:
    engine = engine_of(model, groups=("person",))
    assert play(engine, 0, 100, classes={1: 1}) == []


def test_labels_that_are_not_the_models_are_refused(model: ActionModel) -> None:
    with pytest.raises(ValueError, match="'dance' is none of the model's: rest, rise"):
        engine_of(model, labels=("dance",))


def test_a_model_of_whole_clips_is_not_for_streams(tmp_path: Path) -> None:
    whole = ActionModel(write_tiny(tmp_path / "w.onnx", rate_hz=None))
    with pytest.raises(ValueError, match="--rate"):
        engine_of(whole)


@pytest.mark.parametrize("damage", [{"tracks": {"1": {}}}, {"tracks": {"1": {"ring": {"times_s": [1]}}}}])
def test_a_damaged_checkpoint_is_refused_and_changes_nothing(
    model: ActionModel, damage: dict[str, Any]
) -> None:
    engine = engine_of(model)
    play(engine, 0, 30)
    before = engine.save("a")
    with pytest.raises((KeyError, TypeError, ValueError)):
        engine.restore("a", {**before, **damage})
    assert engine.save("a") == before
