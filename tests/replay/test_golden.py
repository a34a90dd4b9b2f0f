"""The same detections give the same events, always: on any chip, after a restart, in any process.

The same are those between which tolerance.py finds no difference.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.pipeline import Pipeline
from pipelines.values import Event
from streamer.clips.analyze import Outputs, replay
from streamer.clips.prefetch import CAMERA, stamp_of
from streamer.clips.stored_detections import load_detections
from streamer.models.model_handle import open_detector
from streamer.sources.synthetic.truth import CrossingTruth
from tests.replay.record import DETECTIONS, EVENTS, SCENE
from tests.replay.tolerance import differences

LAST_BITS = 1e-5  # of a number's size: a hundred times what float32 resolves


def test_stored_detections_give_the_golden_events(tmp_path: Path) -> None:
    found = list(differences(replayed(DETECTIONS, tmp_path), golden()))
    assert found == [], "if this is meant: python -m tests.replay.record, and look at the difference"


@pytest.mark.parametrize("seed", range(3))
def test_detections_that_differ_in_their_last_bits_give_the_same_events(seed: int, tmp_path: Path) -> None:
    """As another processor would give them; far more than it would."""
    stored = dict(np.load(DETECTIONS))
    random = np.random.default_rng(seed)
    for name in ("boxes", "scores"):
        factors = random.uniform(1 - LAST_BITS, 1 + LAST_BITS, stored[name].shape)
        stored[name] = (stored[name] * factors).astype(np.float32)
    np.savez(tmp_path / "other.npz", **stored)
    assert list(differences(replayed(tmp_path / "other.npz", tmp_path), golden())) == []


def test_whatever_is_promised_is_compared() -> None:
    first = next(event for event in golden() if event["type"] == "streamer.line.crossed.v1")
    assert list(differences(golden()[1:], golden())) != []
    assert list(differences([golden()[1], golden()[0], *golden()[2:]], golden())) != []
    for change in (
        {"track_id": first["data"]["track_id"] + 1},
        {"direction": "backwards"},
        {"class": "person"},
        {"crossed_media_ns": first["data"]["crossed_media_ns"] + 5_000_000},
        {"point_xyn": [x + 0.01 for x in first["data"]["point_xyn"]]},
        {"more": 1},
    ):
        other = {**first, "data": {**first["data"], **change}}
        assert len(list(differences(other, first))) >= 1, change
    assert list(differences({**first, "frame": first["frame"] + 1}, first)) != []
    ways = [{k: e["data"][k] for k in ("trace", "path")} for e in golden() if "trace" in e["data"]]
    assert all(list(differences(a, b)) for a, b in itertools.pairwise(ways))
    moved = [[ms, *(side + 50 for side in box)] for ms, *box in ways[0]["path"]]
    assert list(differences({**ways[0], "path": moved}, ways[0])) != []
    assert list(differences({**ways[0], "path": ways[0]["path"][1:]}, ways[0])) != []


def replayed(detections: Path, folder: Path) -> list[dict[str, Any]]:
    """The events of stored detections."""
    found = folder / "events.jsonl"
    replay(load_detections(detections), SCENE.rules(), outputs=Outputs(events=found))
    return [json.loads(line) for line in found.read_text().splitlines()]


def golden() -> list[dict[str, Any]]:
    return [json.loads(line) for line in EVENTS.read_text().splitlines()]


def test_the_golden_crossings_are_those_of_the_scene() -> None:
    crossings = [e["data"] for e in golden() if e["type"] == "streamer.line.crossed.v1"]
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
