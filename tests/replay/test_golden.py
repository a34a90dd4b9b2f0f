"""The same detections give the same events, always: on any chip, after a restart, in any process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pipelines.pipeline import Pipeline
from pipelines.values import Event
from streamer.clips.analyze import Outputs, replay
from streamer.clips.prefetch import CAMERA, stamp_of
from streamer.clips.stored_detections import load_detections
from streamer.models.installed import open_detector
from streamer.sources.synthetic.truth import CrossingTruth
from tests.replay.record import DETECTIONS, EVENTS, SCENE


def test_stored_detections_give_the_golden_events(tmp_path: Path) -> None:
    found = tmp_path / "events.jsonl"
    replay(load_detections(DETECTIONS), SCENE.rules(), outputs=Outputs(events=found))
    golden = EVENTS.read_text().splitlines()
    assert found.read_text().splitlines() == golden, (
        "events differ; if this is meant: python -m tests.replay.record, and look at the difference"
    )


def test_the_golden_crossings_are_those_of_the_scene() -> None:
    events = [json.loads(line) for line in EVENTS.read_text().splitlines()]
    crossings = [e["data"] for e in events if e["type"] == "streamer.line.crossed.v1"]
    counted = sorted((c["crossed_media_ns"] / 1e9, c["side"]) for c in crossings)
    truth = [c for c in CrossingTruth(SCENE, [SCENE.line()]).until(SCENE.seconds) if not c.rides]
    assert [side for _, side in counted] == [c.side for c in sorted(truth, key=lambda c: c.time_s)]
    assert np.abs(np.array([t for t, _ in counted]) - sorted(c.time_s for c in truth)).max() < 1.0


def test_a_restart_at_any_moment_changes_no_crossing() -> None:
    stored = load_detections(DETECTIONS)
    whole = crossings_with_restarts(every=0)
    assert len(whole) >= 10
    for every in (7, 50):
        again = crossings_with_restarts(every)
        assert [(side, track) for side, track, _ in again] == [(side, track) for side, track, _ in whole]
        assert (
            max(abs(a[2] - b[2]) for a, b in zip(again, whole, strict=True)) < 1.0
        )  # ms: states are rounded
    assert len(stored.media_ns) == 600


def crossings_with_restarts(every: int) -> list[tuple[str, int, float]]:
    """(side, track, ms) of all crossings, the state being saved and restored every so many frames."""
    stored = load_detections(DETECTIONS)
    pipeline = fresh_pipeline()
    crossings: list[Event] = []
    for number, (media_ns, found) in enumerate(stored.frames()):
        if every and number % every == every - 1:
            saved = json.loads(json.dumps(pipeline.save(CAMERA)))
            pipeline = fresh_pipeline()
            pipeline.restore(CAMERA, saved)
        result = pipeline.advance(stamp_of(number, media_ns), found)
        crossings += [e for e in result.events if e.type == "streamer.line.crossed.v1"]
    return [(e.data["side"], e.data["track_id"], e.data["crossed_media_ns"] / 1e6) for e in crossings]


def fresh_pipeline() -> Pipeline:
    pipeline = Pipeline(open_detector("motion", None))
    pipeline.open_camera(CAMERA, SCENE.rules())
    return pipeline
