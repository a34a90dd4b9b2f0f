"""A camera's scene: told when looks agree, unknown where none is sure, and gone on with after a restart."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import numpy as np
import pytest

from pipelines.actions.factory import create_engine
from pipelines.camera_rules import CameraRules
from pipelines.detect.errors import ModelRefused
from pipelines.events import SCENE_CHANGED
from pipelines.pipeline import Pipeline
from pipelines.scene.model import SceneModel
from pipelines.scene.tracker import SceneTracker
from pipelines.spec import ActionsSpec
from pipelines.values import Event, Frame, Stamp
from streamer.events import schemas
from tests.pipelines.actions.test_crops import TwoPeople
from tests.pipelines.actions.tiny_graph import write_tiny
from tests.scenes import write_classifier

DAY, GREY, DIM, NIGHT = 220, 82, 98, 20  # GREY is neither; DIM is a day, but not surely
EVERY_S = 2.0


@pytest.fixture
def model(tmp_path: Path) -> SceneModel:
    return SceneModel(write_classifier(tmp_path))


def stamp(time_s: float, epoch: int = 1) -> Stamp:
    ns = round(time_s * 1e9)
    return Stamp("a", epoch, round(time_s * 10), ns, ns + 5, 0)


def show(watch: SceneTracker, *levels: int, start_s: float = 0.0) -> list[Event]:
    """One look for each level of light."""
    events = []
    for i, level in enumerate(levels):
        at = stamp(start_s + i * EVERY_S)
        assert watch.takes(at)
        events += watch.update(at, np.full((90, 160, 3), level, np.uint8))
    return events


def told(events: list[Event]) -> list[str]:
    return [event.data["scene"] for event in events]


def label(watch: SceneTracker) -> str:
    return str(watch.describe()["scene"]["label"])


def test_a_change_is_told_once_with_when_it_began(model: SceneModel) -> None:
    watch = SceneTracker(model, EVERY_S)
    events = show(watch, DAY, DAY, DAY, DAY, NIGHT, NIGHT, NIGHT)
    assert told(events) == ["day", "night"]
    assert [e.data["previous"] for e in events] == ["unknown", "day"]
    assert events[1].data["start_media_ns"] == 8e9
    assert events[1].stamp.media_ns == 10e9
    assert events[1].data["probability"] > 0.9
    assert events[1].subject == "scene"
    own = {k: v for k, v in schemas.get(SCENE_CHANGED)["properties"].items() if k in events[1].data}
    assert len(own) == len(events[1].data)
    jsonschema.validate(dict(events[1].data), {"type": "object", "properties": own})


def test_one_odd_look_changes_nothing(model: SceneModel) -> None:
    assert told(show(SceneTracker(model, EVERY_S), DAY, DAY, NIGHT, DAY, NIGHT, DAY, DAY)) == ["day"]


def test_what_is_sure_of_nothing_is_unknown(model: SceneModel) -> None:
    watch = SceneTracker(model, EVERY_S)
    assert show(watch, GREY, GREY, GREY) == []
    assert label(watch) == "unknown"
    assert told(show(watch, DAY, DAY, GREY, GREY, start_s=20)) == ["day", "unknown"]


def test_a_scene_holds_below_its_threshold_but_does_not_begin_there(model: SceneModel) -> None:
    said = model.classify(np.full((90, 160, 3), DIM, np.uint8))[0][0]
    assert 0.9 * 0.7 < said < 0.9
    watch = SceneTracker(model, EVERY_S)
    assert show(watch, DIM, DIM, DIM) == []
    assert told(show(watch, DAY, DAY, DIM, DIM, DIM, start_s=20)) == ["day"]
    assert label(watch) == "day"


def test_it_looks_once_an_interval_of_the_streams_time_and_anew_when_a_camera_opens(
    model: SceneModel,
) -> None:
    watch = SceneTracker(model, EVERY_S)
    taken = [time_s for time_s in np.arange(0, 10, 0.1).round(1).tolist() if watch.takes(stamp(time_s))]
    assert taken == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert watch.takes(stamp(8.1, epoch=2))
    assert watch.takes(stamp(0.0, epoch=2))  # a clip that began again


def test_a_camera_that_is_not_seen_is_unknown(model: SceneModel) -> None:
    watch = SceneTracker(model, EVERY_S)
    show(watch, DAY, DAY)
    assert told(watch.close(stamp(5))) == ["unknown"]
    assert watch.close(stamp(6)) == []
    assert told(show(watch, DAY, DAY, start_s=10)) == ["day"]


def test_a_checkpoint_is_gone_on_from_by_the_same_model_alone(model: SceneModel, tmp_path: Path) -> None:
    before, after = SceneTracker(model, EVERY_S), SceneTracker(model, EVERY_S)
    show(before, DAY, DAY)
    after.restore(before.save())
    assert show(after, DAY, DAY, DAY) == []
    (tmp_path / "other").mkdir()
    other = SceneTracker(SceneModel(write_classifier(tmp_path / "other")), EVERY_S)
    other.restore({**before.save(), "model": "0" * 64})
    assert label(other) == "unknown"


def pipeline_with(watch: SceneTracker | None) -> Pipeline:
    pipeline = Pipeline(TwoPeople())
    pipeline.open_camera("a", CameraRules())
    pipeline.watch_scene("a", watch, None)
    return pipeline


def run(pipeline: Pipeline, level: int, times_s: range) -> list[Event]:
    events: list[Event] = []
    image = np.zeros((90, 160, 3), np.uint8)
    for i in times_s:
        image[:] = level
        pending = pipeline.submit([Frame(stamp(i / 10), image)])
        image[:] = 255 - level  # what a capture worker may do from now on
        events += pipeline.collect(pending)[0].events
    return [event for event in events if event.type == SCENE_CHANGED]


def test_a_pipeline_looks_at_the_picture_of_the_frame_and_says_unknown_at_the_end(model: SceneModel) -> None:
    pipeline = pipeline_with(SceneTracker(model, 0.5))
    assert told(run(pipeline, NIGHT, range(30))) == ["night"]
    now = (pipeline.scene("a") or {})["scene"]
    assert (now["label"], now["since_ns"]) == ("night", 5)
    assert now["probability"] > 0.9
    ended = [e for e in pipeline.end_tracks("a", stamp(4)) if e.type == SCENE_CHANGED]
    assert told(ended) == ["unknown"]
    assert pipeline_with(None).scene("a") is None


def test_a_pipeline_that_takes_over_goes_on_and_another_interval_changes_nothing(model: SceneModel) -> None:
    first = pipeline_with(SceneTracker(model, 0.5))
    run(first, NIGHT, range(30))
    second = Pipeline(TwoPeople())
    second.open_camera("a", CameraRules())
    second.restore("a", first.save("a"))
    assert second.save("a")["scene"] == first.save("a")["scene"]  # also before anything looks
    second.watch_scene("a", SceneTracker(model, 0.5), None)
    assert run(second, NIGHT, range(40, 60)) == []
    assert second.watch_scene("a", SceneTracker(model, 1.0), stamp(6)) == []
    assert second.scene("a") == first.scene("a")
    assert told(second.watch_scene("a", None, stamp(7))) == ["unknown"]


def test_what_is_no_classifier_of_pictures_is_refused_and_the_other_way_round(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="looks at windows of 8 frames"):
        SceneModel(write_tiny(tmp_path / "windows.onnx"))
    with pytest.raises(ModelRefused, match="use it as a camera's scene"):
        create_engine(ActionsSpec(model=str(write_classifier(tmp_path))), TwoPeople())
    several = {"name": "scene", "labels": ["day", "night"], "kind": "sigmoid"}
    with pytest.raises(ModelRefused, match="several labels at once"):
        SceneModel(write_classifier(tmp_path, heads=[several]))
    maps = write_classifier(tmp_path, kind="features", embedder={"sha256": "0" * 64, "still": True})
    with pytest.raises(ModelRefused, match="detector that is not there"):
        SceneModel(maps)
    with pytest.raises(ModelRefused, match=r"no\.onnx: no such model file"):
        SceneModel(tmp_path / "no.onnx")
