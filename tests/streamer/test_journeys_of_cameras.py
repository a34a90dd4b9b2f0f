"""Journeys in an inference worker: off nothing looks; one worker has them; who hides people has none."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from pipelines import pipeline as pipelines
from pipelines.camera_rules import CameraRules
from pipelines.journeys.clothes import LENGTH
from pipelines.pipeline import Pipeline
from pipelines.values import Detections, Floats, Frame, FrameResult, Image, Stamp
from streamer.config.schema import CameraConfig, Config
from streamer.daemon.topology import plan
from tests.drawn_sites import Told

NS = 40_000_000  # 25 frames a second: no colours are looked at for tracking


def looked_at(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> int:
    """How many of 25 frames are looked at."""
    copies: list[Image] = []
    monkeypatch.setattr(pipelines, "small_colours", lambda image: copies.append(image) or image)
    pipeline = Pipeline(Told())  # type: ignore[arg-type]
    pipeline.open_camera("gate", CameraRules())
    pipeline.ask_for_looks("gate", wanted)
    for n in range(25):
        picture = np.zeros((36, 64, 3), np.uint8)
        pipeline.step([Frame(Stamp("gate", 1, n, n * NS, n * NS, n * NS), picture)])
    return len(copies)


def test_no_look_is_made_where_journeys_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(monkeypatch, False) == 0
    assert looked_at(monkeypatch, True) == 4


def test_the_cameras_of_journeys_are_given_to_one_worker_and_others_are_shared_out() -> None:
    cameras = tuple(CameraConfig(name=n, url="synthetic:street") for n in ("a", "b", "c", "d"))
    config = Config.model_validate(
        {"cameras": cameras, "inference": {"workers": 2}, "journeys": {"cameras": ["a", "b", "d"]}}
    )
    placed = plan(config).infer_of
    assert len({placed[name] for name in "abd"}) == 1
    assert placed["c"] != placed["a"]


def test_a_site_that_hides_people_cannot_have_journeys() -> None:
    with pytest.raises(ValueError, match=r"privacy\.people hides them"):
        Config.model_validate({"privacy": {"people": "blur"}, "journeys": {"cameras": ["a", "b"]}})


def test_a_camera_of_journeys_that_there_is_not_is_said() -> None:
    cameras = tuple(CameraConfig(name=name, url="synthetic:street") for name in ("gate", "yard"))
    config = Config.model_validate({"cameras": cameras, "journeys": {"cameras": ["gate", "court"]}})
    assert any("journeys.cameras names court" in line for line in config.advice)
    config = Config.model_validate({"cameras": cameras, "journeys": {"cameras": ["gate", "yard"]}})
    assert config.advice == []


def walk(pipeline: Pipeline, apart_ns: int = NS, embeddings: Floats | None = None) -> list[FrameResult]:
    """Somebody walks through the view of "gate"; `embeddings` (1, E) are what the detector says of them."""
    results = []
    for n in range(25):
        box = np.array([[0.3 + 0.01 * n, 0.3, 0.4 + 0.01 * n, 0.7]], np.float32)
        pipeline.detector.found = Detections(  # type: ignore[attr-defined]
            box, np.array([0.9], np.float32), np.zeros(1, np.int32), embeddings=embeddings
        )
        picture, at_ns = np.full((36, 64, 3), 90, np.uint8), n * apart_ns
        results += pipeline.step([Frame(Stamp("gate", 1, n, at_ns, at_ns, at_ns), picture)])
    return results


def watched(wanted: bool) -> Pipeline:
    pipeline = Pipeline(Told())  # type: ignore[arg-type]
    pipeline.open_camera("gate", CameraRules())
    pipeline.ask_for_looks("gate", wanted)
    return pipeline


@pytest.mark.parametrize("fps", [2, 5, 25])
def test_at_any_rate_looks_are_of_clothes_and_not_the_colours_that_tracking_looks_at(fps: int) -> None:
    looks = [r.looks for r in walk(watched(True), 1_000_000_000 // fps) if r.looks is not None]
    assert len(looks) > 3
    assert {look.shape for look in looks} == {(1, LENGTH)}


def test_of_a_detector_that_gives_embeddings_looks_are_those() -> None:
    looks = [r.looks for r in walk(watched(True), embeddings=np.array([[3.0, 4.0]], np.float32))]
    given = [look for look in looks if look is not None]
    assert len(given) == 4
    assert np.allclose(given, [[0.6, 0.8]])


def test_where_journeys_are_off_the_maker_of_looks_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Floats:
        raise AssertionError("a look was made")

    monkeypatch.setattr(pipelines, "clothes", refuse)
    assert all(result.looks is None for result in walk(watched(False), NS * 10))
    with pytest.raises(AssertionError, match="a look was made"):
        walk(watched(True))


def saved(wanted: bool) -> bytes:
    """What a checkpoint holds of a camera that somebody walks through."""
    pipeline = watched(wanted)
    looked = any(r.looks is not None and r.looks.any() for r in walk(pipeline))
    assert looked == wanted
    return pickle.dumps(pipeline.save("gate"))


def test_a_checkpoint_is_the_same_where_looks_are_made_and_where_none_are() -> None:
    assert saved(True) == saved(False)
