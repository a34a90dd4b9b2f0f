"""Fault 19: a camera that is frozen, black or covered, and one that looks at an empty corridor.

A real daemon captures four clips at their own pace; after BEGINS_S three of them show nothing any more. The
clips are longer than they are looked at, so that a busy machine has time.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.values import Image
from tests.clips import make_clip
from tests.daemon import Daemon

FPS = 5
BEGINS_S = 9
LENGTH_S = 60
BUCKET_S = 2
BLIND_BUCKETS = 3
DELAY_S = 30
NS_PER_S = 10**9
FAULTS = ("frozen", "black", "covered")
WIDTH, HEIGHT = 320, 180

TILES = np.kron(np.random.default_rng(1).integers(40, 220, (12, 20)), np.ones((15, 16)))

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def corridor(number: int) -> Image:
    """Doors and tiles, and the noise of a sensor."""
    grain = np.random.default_rng(100 + number).normal(0, 3, (HEIGHT, WIDTH))
    grey = np.clip(TILES + grain, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def frozen(_number: int) -> Image:
    return corridor(0)


def black(number: int) -> Image:
    return (corridor(number) // 64).astype(np.uint8)


def covered(number: int) -> Image:
    """A cloth: soft, and as light as the rest."""
    shade = np.linspace(70, 110, WIDTH) + np.random.default_rng(number).normal(0, 3, (HEIGHT, WIDTH))
    return np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2)


def clip(path: Path, then: Callable[[int], Image]) -> Path:
    def draw(number: int, _width: int, _height: int) -> Image:
        return corridor(number) if number < BEGINS_S * FPS else then(number)

    # A constant quantiser: what stands is written alike again and again, as by a camera that hangs.
    options = {"qp": "22", "preset": "ultrafast"}
    return make_clip(path, frames=LENGTH_S * FPS, fps=FPS, draw=draw, key_frame_gap=10, options=options)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    clips = tmp_path_factory.mktemp("clips")
    base = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))  # a short path, as of short_dir
    shown = {"frozen": frozen, "black": black, "covered": covered, "corridor": corridor}
    cameras = [
        {"name": name, "url": str(clip(clips / f"{name}.mp4", then)), "model": "motion"}
        for name, then in shown.items()
    ]
    daemon = Daemon(base, cameras, counts={"bucket_s": BUCKET_S})
    daemon.start()
    yield daemon
    daemon.stop()
    daemon.kill()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def events(daemon: Daemon) -> dict[str, list[dict[str, Any]]]:
    """The events of each camera, once a few buckets were blind from their beginning to their end."""

    def blind(status: dict[str, Any]) -> bool:
        shown = {camera["name"]: camera["health"]["state"] for camera in status["cameras"]}
        return shown == {**{fault: fault for fault in FAULTS}, "corridor": "ok"}

    status = daemon.wait_for(blind, LENGTH_S, "the status to say who is blind")
    assert any("repeats its last picture" in text for text in status["warnings"])
    from_ns = time.time_ns() + BLIND_BUCKETS * BUCKET_S * NS_PER_S
    closed = lambda e: e["data"].get("end_ns", 0) > from_ns  # noqa: E731
    return {name: daemon.wait_for_events(name, closed, 30) for name in (*FAULTS, "corridor")}


def healths(events: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """What was told of a camera's health, and how long after it was live."""
    states = [e for e in events if e["type"] == "streamer.camera.state.v1"]
    live_ns = next(e["data"]["emitted_ns"] for e in states if e["data"]["state"] == "live")
    told = [e["data"] for e in states if e["data"].get("health", "ok") != "ok"]
    return [(data["health"], (data["emitted_ns"] - live_ns) / 1e9) for data in told]


def buckets(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [e["data"] for e in events if e["type"] == "streamer.counts.v1"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_blind_camera_says_so_within_half_a_minute(
    fault: str, events: dict[str, list[dict[str, Any]]]
) -> None:
    told = healths(events[fault])
    assert [state for state, _ in told] == [fault]
    assert told[0][1] > BEGINS_S - 2
    since_ns = next(e["data"]["health_since_ns"] for e in events[fault] if "health_since_ns" in e["data"])
    began_ns = next(e["data"]["emitted_ns"] for e in events[fault] if "health_since_ns" in e["data"])
    assert began_ns - since_ns < DELAY_S * 1e9


@pytest.mark.parametrize("fault", FAULTS)
def test_its_time_is_unknown_with_the_reason_and_not_zero(
    fault: str, events: dict[str, list[dict[str, Any]]]
) -> None:
    whole = [b for b in buckets(events[fault]) if b["blind"].get(fault, 0.0) > BUCKET_S - 0.5]
    assert whole
    for bucket in whole:
        assert bucket["coverage"]["seen_s"] < 0.5
        assert bucket["coverage"]["unknown_s"] >= bucket["blind"][fault]


def test_nothing_is_said_of_an_empty_corridor(events: dict[str, list[dict[str, Any]]]) -> None:
    assert healths(events["corridor"]) == []
    seen = sum(b["coverage"]["seen_s"] for b in buckets(events["corridor"]))
    reasons = {reason for b in buckets(events["corridor"]) for reason in b["blind"]}
    assert seen > 0
    assert reasons <= {"offline", "unknown", "overloaded"}


@pytest.mark.parametrize("fault", FAULTS)
def test_counts_say_unknown_where_a_camera_was_blind(
    fault: str, daemon: Daemon, events: dict[str, list[dict[str, Any]]]
) -> None:
    assert events
    counts = ("counts", "--camera", fault, "--by")
    document, table = daemon.commands((*counts, "camera,hour", "--json"), (*counts, "minute"))
    assert json.loads(document.stdout)["cameras"][fault]["blind"][fault] > BUCKET_S
    shown = table.stdout.splitlines()
    assert shown[0].split() == ["MINUTE", "COUNT", "SEEN"]
    assert any(f"{fault} " in row for row in shown[1:])
