"""A track's stored path: what comes back is what was put in, near enough, and damage is noticed."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.count.box_smoothing import BoxSmoother, SmoothedBoxes
from pipelines.count.camera_counts import CameraCounts
from pipelines.count.run_length import MAX_BYTES as MAX_EVIDENCE_BYTES
from pipelines.count.run_length import MIN_WITHIN, WITHIN
from pipelines.count.trajectory_codec import (
    SCALE,
    Trajectory,
    TrajectoryError,
    decode,
    encode,
    put,
    take,
    unpack,
)
from pipelines.count.trajectory_recorder import (
    MAX_BYTES,
    MIN_TOLERANCE,
    TOLERANCE,
    RecordedTrajectory,
    TrajectoryRecorder,
)
from pipelines.values import Event, Labels, Stamp, Tracks

LABELS = Labels(("person", "car"), ("person", "vehicle"))
FIRST = (
    "YzKSW8CmUJBaVJyfxwWlkhOLuMpSMzKTc1LnszGgACY2Di4OEGADAZYZWjeYX7DcY53Acoe5h3kf0y3GFD1u59rCDZx8ImJiAmIC"
    "Ejx8fHwCHA9czPcyrme+yjyRZT3LUpbvzIeZ2pkOMhYqij0QktHQ01BTU9OQkZORkRFTQbUPjesAAQcYUSHMcVAAAA=="
)


def boxes_at(time_s: float) -> np.ndarray:
    """A box that swings to and fro and grows, (1, 4)."""
    x, y = 0.3 + 0.2 * np.sin(time_s), 0.4 + 0.1 * np.cos(1.7 * time_s)
    half = 0.03 + 0.003 * time_s
    return np.array([[x - half, y - 2 * half, x + half, y + 2 * half]])


def record(recorder: TrajectoryRecorder, times_s: np.ndarray, evidence: Sequence[float] = ()) -> BoxSmoother:
    """Show it the box at these times, with the `evidence` of each, or none."""
    smoother = BoxSmoother()
    smoother.ids[0], smoother.frame_s = 7, 0.04
    for n, time_s in enumerate(times_s.tolist()):
        places = SmoothedBoxes(
            time_s,
            np.zeros(1, np.intp),
            boxes_at(time_s),
            np.full((1, 2), 0.002),
            np.zeros(1, np.int64),
            np.array([evidence[n] if len(evidence) else 0.0]),
        )
        recorder.update(places, smoother)
    return smoother


def text_of(path: RecordedTrajectory) -> str:
    return encode(path.rows, path.evidence, [("person", "person")], path.frame_s, path.evidence_before)


def stored(recorder: TrajectoryRecorder) -> Trajectory:
    (path,) = recorder.close()
    return decode(text_of(path))


def test_every_place_comes_back_within_the_tolerance() -> None:
    recorder, times_s = TrajectoryRecorder(), np.arange(250) * 0.04
    record(recorder, times_s)
    trace = stored(recorder)
    places = trace.samples()
    assert len(trace.times_s) < len(times_s) / 3
    assert np.abs(places.times_s - times_s).max() < 1e-3
    true = np.concatenate([boxes_at(t) for t in times_s.tolist()])
    extent = (true[:, [2, 3, 2, 3]] - true[:, [0, 1, 0, 1]]) * SCALE
    allowed = np.maximum(MIN_TOLERANCE, TOLERANCE * extent) + 1.0  # and what rounding to whole numbers adds
    assert (np.abs(places.boxes_xyxyn - true) * SCALE <= allowed).all()
    assert np.abs(places.noise_xyn / 0.002 - 1).max() < 0.1


def test_a_gap_in_a_track_is_not_filled_with_places() -> None:
    recorder = TrajectoryRecorder()
    times_s = np.concatenate([np.arange(20) * 0.04, 3.0 + np.arange(20) * 0.04])
    record(recorder, times_s)
    places = stored(recorder).samples()
    assert len(places.times_s) == len(times_s)
    assert np.abs(places.times_s - times_s).max() < 1e-3


def test_what_was_saved_goes_on_as_if_nothing_had_been() -> None:
    times_s, evidence = np.arange(200) * 0.04, np.arange(200) % 7 * 0.4
    whole, parts = TrajectoryRecorder(), TrajectoryRecorder()
    record(whole, times_s, evidence)
    record(parts, times_s[:77], evidence[:77])
    again = TrajectoryRecorder()
    again.restore(json.loads(json.dumps(parts.save())))
    record(again, times_s[77:], evidence[77:])
    one, other = again.close()[0], whole.close()[0]
    assert one.rows == other.rows
    assert one.evidence == other.evidence
    assert len(one.evidence) > 5


def test_the_evidence_of_any_stretch_of_places_comes_back() -> None:
    """Of a detector that is sure, then unsure, then sees nothing, over and over."""
    draw, times_s = np.random.default_rng(5), np.arange(3000) * 0.04
    sure = draw.normal(1.6, 0.4, 3000).clip(0.0)
    evidence = np.where(draw.normal(size=300).repeat(10) > 0.5, draw.choice([0.0, 0.0, 0.3], 3000), sure)
    recorder = TrajectoryRecorder()
    record(recorder, times_s, evidence)
    trace = stored(recorder)
    assert trace.run_lengths.sum() == len(times_s)
    assert len(trace.run_lengths) < len(times_s) / 2
    found, true = (np.cumsum(e) for e in (trace.samples().evidence, evidence))
    for n in (1, 3, 8, 19):
        differ, whole = np.abs((found[n:] - found[:-n]) - (true[n:] - true[:-n])), true[n:] - true[:-n]
        mostly = WITHIN * whole + n * MIN_WITHIN
        assert (differ <= 1.1 * mostly + 0.1 * whole + 1e-9).all()  # and what the logarithm's steps add
        assert np.median(differ / np.maximum(whole, n * 0.1)) < 0.15


def test_a_moment_without_evidence_is_not_lost_among_sure_boxes() -> None:
    evidence = [2.0] * 40 + [0.0] * 3 + [2.0] * 40
    recorder = TrajectoryRecorder()
    record(recorder, np.arange(83) * 0.04, evidence)
    trace = stored(recorder)
    assert trace.run_lengths.tolist() == [40, 3, 40]
    np.testing.assert_allclose(trace.samples().evidence, evidence, rtol=0.1)


def test_a_path_of_the_first_version_is_read() -> None:
    """Two seconds of `boxes_at`, as this text was written then: a person, then a car, and as a mean of each
    interval an evidence of 0.5, then 1.5."""
    trace = decode(FIRST)
    places, times_s = trace.samples(), np.arange(50) * 0.04
    assert (trace.classes, trace.frame_s) == ((("person", "person"), ("car", "vehicle")), 0.04)
    assert trace.evidence_before == 0.25
    true = np.concatenate([boxes_at(t) for t in times_s.tolist()])
    assert np.abs(places.boxes_xyxyn - true).max() < 1e-3
    assert np.abs(places.times_s - times_s).max() < 1e-3
    assert places.evidence.tolist() == [0.5] * 25 + [1.5] * 25
    assert places.class_index.tolist() == [0] * 25 + [1] * 25


def test_a_track_that_stays_for_a_day_takes_bounded_memory() -> None:
    recorder = TrajectoryRecorder()
    evidence = np.arange(40_000) % 2 * 2.0
    record(recorder, np.arange(40_000) * 0.5, evidence)  # swings all the time: the worst case
    (path,) = recorder.close()
    assert len(path.knots) <= MAX_BYTES
    assert 2 * len(path.evidence) <= MAX_EVIDENCE_BYTES  # bytes
    assert len(path.points) <= 12
    assert sum(row[1] for row in path.rows) == 40_000  # no place is lost
    trace = decode(text_of(path))
    assert trace.run_lengths.sum() == 40_000
    assert trace.samples().evidence.sum() == pytest.approx(evidence.sum(), rel=0.1)


def test_a_parked_car_costs_almost_nothing() -> None:
    recorder, smoother = TrajectoryRecorder(), BoxSmoother()
    smoother.ids[0], smoother.frame_s = 7, 0.04
    box = np.array([[0.2, 0.2, 0.4, 0.3]])
    for n in range(10_000):
        places = SmoothedBoxes(
            n * 0.04, np.zeros(1, np.intp), box, np.zeros((1, 2)), np.ones(1, np.int64), np.zeros(1)
        )
        recorder.update(places, smoother)
    (path,) = recorder.close()
    assert len(unpack(text_of(path))) < 100  # of 400 s


def test_a_change_of_class_is_kept_with_its_moment() -> None:
    """The analytics as a whole: 2 s taken for a person, then for a car."""
    analytics = CameraCounts(CameraRules(), LABELS)
    ended: list[Event] = []
    for n in range(100):
        boxes = boxes_at(n * 0.04).astype(np.float32)
        tracks = Tracks(
            np.array([1]),
            boxes,
            np.array([0.9], np.float32),
            np.array([int(n >= 50)], np.int32),
            np.array([True]),
            np.full((1, 2), 0.001, np.float32),
        )
        stamp = Stamp("gate", 1, n, n * 40_000_000, n * 40_000_000, 0)
        ended += analytics.update(stamp, tracks)
    ended += analytics.close(stamp)
    (event,) = [e for e in ended if e.type == "streamer.track.ended.v1"]
    trace = decode(event.data["trace"])
    assert trace.classes == (("person", "person"), ("car", "vehicle"))
    counts = np.bincount(trace.samples().class_index)
    assert counts.sum() == 100
    assert event.data["votes"] == {"person": int(counts[0]), "car": int(counts[1])}


@pytest.mark.parametrize("value", [0, 1, -1, 63, 64, -64, -65, 8191, 8192, 10**12, -(10**12)])
def test_whole_numbers_come_back(value: int) -> None:
    out = bytearray()
    put(out, (value, 5))
    assert take(out) == [value, 5]


def test_damaged_text_is_refused() -> None:
    recorder = TrajectoryRecorder()
    record(recorder, np.arange(50) * 0.04)
    (path,) = recorder.close()
    packed = unpack(text_of(path))
    for bad in ("?", "", b"", packed[: len(packed) // 2], packed[3:], bytes(len(packed))):
        with pytest.raises(TrajectoryError):
            decode(bad)
    path.evidence.append((1, 0))  # a place more than the way has
    with pytest.raises(TrajectoryError):
        decode(text_of(path))
