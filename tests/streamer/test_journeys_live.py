"""A running daemon with journeys between two cameras: what it tells, and that no look leaves its memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from streamer.events import schemas
from tests import passers_by
from tests.daemon import Daemon
from tests.looks_hook import LooksHook, Rows, find_looks, forms
from tests.streamer.test_privacy import in_redis, kept

pytestmark = [pytest.mark.integration, pytest.mark.slow]
JOURNEY, ENDED = "streamer.journey.v1", "streamer.track.ended.v1"
PLANTED = 5


@dataclass
class Told:
    """What was found while the daemon ran and after."""

    daemon: Daemon
    journey: dict[str, Any]
    tracks: dict[tuple[str, int, int], dict[str, Any]]  # by camera, epoch and track id, as they ended
    looks: Rows
    places: dict[str, bytes]


@pytest.fixture(scope="module")
def told(redis_binary: str) -> Iterator[Told]:  # noqa: ARG001
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        base = Path(folder)
        hook, daemon = LooksHook(base / "hook"), site(base)
        try:
            daemon.start(env={"TMPDIR": str(base / "tmp"), **hook.env})
            came = daemon.wait_for_events("yard", lambda e: e["type"] == JOURNEY, 45)
            journey = next(e for e in came if e["type"] == JOURNEY)
            yield Told(daemon, journey, tracks(daemon), hook.looks(), everywhere(daemon))
        finally:
            daemon.kill()


def site(base: Path) -> Daemon:
    """Not started. Its clips begin again: a busy machine may miss somebody the first time."""
    for name in ("tmp", "clips"):
        (base / name).mkdir()
    cameras = [
        {"name": name, "url": str(clip), "source": {"realtime": True, "loop": True}}
        for name, clip in passers_by.write_clips(base / "clips").items()
    ]
    journeys = {"cameras": ["gate", "yard"], "within_s": passers_by.WITHIN_S}
    return Daemon(base, cameras, inference={"engine": "motion"}, journeys=journeys)


def tracks(daemon: Daemon) -> dict[tuple[str, int, int], dict[str, Any]]:
    ended = [
        (name, e["data"]) for name in passers_by.SHINE for e in daemon.events(name) if e["type"] == ENDED
    ]
    return {(name, data["epoch"], data["track_id"]): data for name, data in ended}


def everywhere(daemon: Daemon) -> dict[str, bytes]:
    """Disk, log, Redis and all of the shared memory: rings, checkpoints, counters."""
    shared = {str(path): path.read_bytes() for path in daemon.segments_dir.iterdir() if path.is_file()}
    return {**kept(daemon), **in_redis(daemon), **shared}


def upper_lane(track: dict[str, Any]) -> bool:
    """Whether it is the one who comes to both cameras: nobody else goes there."""
    tops = [box[1] / 1e4 * passers_by.HEIGHT for _, *box in track["path"]]
    return bool(max(tops) < passers_by.LOWER[0] - passers_by.TALL / 2)


def test_who_goes_from_one_camera_to_the_other_is_told_with_both_tracks(told: Told) -> None:
    data = told.journey["data"]
    jsonschema.validate(data, schemas.get(JOURNEY))
    assert (data["camera"], data["from_camera"], data["class"]) == ("yard", "gate", "object")
    assert upper_lane(told.tracks["gate", data["from_epoch"], data["from_track_id"]])
    assert upper_lane(told.tracks["yard", data["epoch"], data["track_id"]])
    assert sum(upper_lane(track) for track in told.tracks.values()) < len(told.tracks) / 2
    between_s = (data["came_captured_ns"] - data["left_captured_ns"]) / 1e9
    assert 0 < between_s < passers_by.SECONDS
    assert data["between_s"] == pytest.approx(between_s, abs=1.0)
    assert 0.9 <= data["probability"] < 1


def test_no_look_is_on_disk_in_shared_memory_in_redis_or_in_the_log(told: Told) -> None:
    assert len(told.looks) > 50
    assert any("checkpoint-yard" in place for place in told.places)
    assert any("ledger" in place for place in told.places)
    assert any(place.startswith("redis") and "events" in place for place in told.places)
    assert find_looks(told.places, told.looks) == []


def test_a_look_that_was_written_in_any_form_would_be_found(told: Told) -> None:
    look = told.looks[len(told.looks) // 2]
    text = json.dumps({"look": look.round(5).tolist()}).encode()
    planted = {name: b"x" * PLANTED + form + b"y" * 16 for name, form in forms(look)}
    for name, held in {**planted, "text": text, "repr": repr(look.tolist()).encode()}.items():
        assert find_looks({"dump": held}, told.looks), name
    other = np.random.default_rng(1).uniform(0, 1, look.shape)
    assert not find_looks({"dump": other.tobytes() + json.dumps(other.tolist()).encode()}, told.looks)
