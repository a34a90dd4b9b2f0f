"""An inference worker over changes of models and restarts: no track id twice in an epoch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.detect.errors import InvalidOutput
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.values import Detections, Stamp
from streamer.events.cloudevents import COUNTS
from streamer.ipc.messages import InferAssignment, MisconfiguredCamera
from streamer.workers.infer import loader as loading
from tests.infer_rig import InferRig, ScriptedDetector, passers_by


@pytest.fixture
def rig(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InferRig]:
    rig = InferRig(short_dir, lambda _model: Pipeline(ScriptedDetector(passers_by)))
    monkeypatch.setattr(loading.PipelineLoader, "_load", lambda _loader, spec: rig.load(spec))
    yield rig
    rig.close()


def ids_told_twice(rig: InferRig) -> list[tuple[int, int]]:
    """(epoch, track id) of which two tracks have crossed the line or ended."""
    rig.settle()
    told = Counter(
        (record.type, record.epoch, record.data["track_id"])
        for record in rig.records
        if record.type in ("streamer.line.crossed.v1", "streamer.track.ended.v1")
    )
    assert sum(told.values()) > 3, told
    return [(epoch, track) for (_, epoch, track), times in told.items() if times > 1]


def test_no_track_id_comes_twice_in_an_epoch_when_the_model_is_changed(rig: InferRig) -> None:
    rig.assign(gate="one")
    rig.frames("gate", range(40))
    rig.assign(gate="other")
    rig.frames("gate", range(40, 80))
    assert ids_told_twice(rig) == []


def test_no_track_id_comes_twice_in_an_epoch_when_the_source_was_gone_and_its_tracks_ended(
    rig: InferRig,
) -> None:
    rig.assign(gate="one")
    rig.frames("gate", range(40))
    rig.worker._closed_sources.add("gate")
    rig.until(lambda: not rig.worker._closed_sources)
    rig.frames("gate", range(48, 88))
    assert ids_told_twice(rig) == []


@pytest.mark.parametrize("checkpoint", ["missing", "damaged", "of another model", "cut short", "old"])
def test_no_track_id_comes_twice_in_an_epoch_after_a_restart_whatever_its_checkpoint_is(
    rig: InferRig, checkpoint: str
) -> None:
    rig.assign(gate="one")
    rig.frames("gate", range(12))
    path = rig.shared / "checkpoint-gate"
    old = path.read_bytes()
    rig.frames("gate", range(12, 40))
    rig.settle()
    raw = path.read_bytes()
    if checkpoint == "missing":
        path.unlink()
    elif checkpoint == "damaged":
        middle = len(raw) // 2
        path.write_bytes(
            raw[:middle] + bytes(b ^ 0x55 for b in raw[middle : middle + 40]) + raw[middle + 40 :]
        )
    elif checkpoint == "cut short":
        path.write_bytes(raw[: len(raw) // 2])
    elif checkpoint == "old":  # shared memory was full since
        path.write_bytes(old)
    rig.kill()
    rig.assign(gate="other" if checkpoint == "of another model" else "one")
    rig.frames("gate", range(40, 80))
    assert ids_told_twice(rig) == []


def test_ids_begin_anew_in_a_new_epoch_also_after_a_restart(rig: InferRig) -> None:
    rig.assign(gate="one")
    rig.frames("gate", range(40))
    rig.kill()
    (rig.shared / "checkpoint-gate").unlink()
    rig.assign(gate="one")
    rig.frames("gate", range(30), epoch=2)
    rig.settle()
    second = {r.data["track_id"] for r in rig.records if r.epoch == 2 and "track_id" in r.data}
    assert min(second) < 5  # the first of those that are never shown have numbers too


def counted(rig: InferRig) -> int:
    buckets = [record.data for record in rig.records if record.type == COUNTS]
    ways = [by_class for b in buckets for line in b["lines"].values() for by_class in line.values()]
    return sum(sum(by_class.values()) for by_class in ways)


@pytest.mark.parametrize("load_late", [False, True])
def test_a_bucket_holds_what_was_counted_before_a_restart_and_after_it(
    rig: InferRig, load_late: bool
) -> None:
    rig.load_late = load_late
    rig.assign(gate="one")
    rig.frames("gate", range(40))
    rig.settle()
    rig.kill()
    rig.assign(gate="one")
    rig.frames("gate", range(40, 80))
    rig.worker._emitter.close_buckets(rig.worker._cameras["gate"], stopping=True)
    rig.settle()
    crossings = [record for record in rig.records if record.type == LINE_CROSSED]
    assert len(crossings) == counted(rig) > 4


def buckets(rig: InferRig) -> list[dict[str, Any]]:
    rig.settle()
    return [record.data for record in rig.records if record.type == COUNTS]


def spent_s(bucket: dict[str, Any]) -> float:
    return float(sum(bucket["coverage"].values()))


def test_the_time_of_a_camera_ends_when_it_is_removed_and_begins_when_it_is_added_again(
    rig: InferRig,
) -> None:
    """What lay between was unknown in the bucket in which it came back."""
    rig.assign(gate="one")
    rig.frames("gate", range(3))
    rig.assign()
    removed_ns = time.time_ns()
    before = buckets(rig)
    assert before[-1]["end_ns"] <= removed_ns
    added_ns = time.time_ns()
    rig.assign(gate="one")
    rig.frames("gate", range(3))
    rig.assign()
    every = buckets(rig)
    assert every[len(before)]["start_ns"] >= added_ns
    for bucket in every:
        assert spent_s(bucket) == pytest.approx((bucket["end_ns"] - bucket["start_ns"]) / 1e9, abs=0.01)


def test_the_state_of_a_misconfigured_camera_is_emitted_and_its_time_is_offline(rig: InferRig) -> None:
    fault = MisconfiguredCamera("torn", 1, 60, "is not YAML", time.time_ns())
    rig.worker._handle("supervisor", InferAssignment(1, 1, "onnx", 1, (), (fault,)))
    rig.until(lambda: [r.data.get("state") for r in rig.records] == ["misconfigured"])
    rig.worker._handle("supervisor", InferAssignment(2, 2, "onnx", 1, ()))
    coverage = [bucket["coverage"] for bucket in buckets(rig)]
    assert sum(spent["seen_s"] for spent in coverage) == 0
    assert sum(spent["offline_s"] for spent in coverage) > 0


def test_a_checkpoint_that_cannot_be_written_is_told_and_counted_until_one_can(rig: InferRig) -> None:
    rig.assign(gate="one")
    rig.frames("gate", range(12))
    in_the_way = rig.shared / "checkpoint-gate.new"
    in_the_way.mkdir()
    rig.frames("gate", range(12, 30))
    camera, emitter = rig.worker._cameras["gate"], rig.worker._emitter
    assert "its checkpoint cannot be written" in camera.warning
    assert emitter.checkpoints_failed > 0
    in_the_way.rmdir()
    rig.frames("gate", range(30, 42))
    assert camera.warning == ""


def test_a_frame_that_is_refused_costs_the_other_cameras_of_its_batch_nothing(
    rig: InferRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(stamp: Stamp) -> Detections:
        if stamp.camera == "bad":
            raise InvalidOutput("a score that is not a number")
        return passers_by(stamp)

    detector = ScriptedDetector(look, max_batch=3)
    monkeypatch.setattr(rig, "_pipelines", lambda _model: Pipeline(detector))
    rig.assign(gate="one", bad="one", yard="one")
    for number in range(30):
        for camera in ("gate", "bad", "yard"):
            rig.hand(camera, number)
        rig.until(lambda n=number: all(rig._answered(c) == n + 1 for c in ("gate", "bad", "yard")))
    rig.settle()
    assert [rig.counters.balance(row).inferred for row in range(3)] == [30, 0, 30]
    assert rig.counters.balance(1).dropped == {"refused": 30}
    assert rig.worker._cameras["bad"].warning == "frame not used: a score that is not a number"
    assert rig.worker._cameras["gate"].warning == ""
    crossed = Counter(record.camera for record in rig.records if record.type == LINE_CROSSED)
    assert crossed["gate"] == crossed["yard"] >= 2
    assert detector.batches == {3: 30}


def test_another_length_of_buckets_tells_no_moment_twice(rig: InferRig) -> None:
    rig.assign(gate="one")
    rig.frames("gate", range(12))
    rig.bucket_s = 3600
    rig.assign(gate="one")
    rig.frames("gate", range(12, 24))
    rig.worker._emitter.close_buckets(rig.worker._cameras["gate"], stopping=True)
    rig.settle()
    before, after = [record.data for record in rig.records if record.type == COUNTS][-2:]
    assert (before["bucket_s"], after["bucket_s"]) == (60, 3600)
    assert before["end_ns"] <= after["start_ns"]
