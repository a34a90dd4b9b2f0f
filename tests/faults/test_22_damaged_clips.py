"""Fault 22: cameras whose files are cut, flipped, spliced or lie in their header. The daemon goes on, each
such camera says in one line what is wrong, its frames balance, and a sound camera beside them is untouched.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.damaged_clips import damaged, render
from tests.frame_balance import unaccounted
from tests.moving import camera, write_moving_clip

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("redis_binary"),
]
SEEDS = range(0, 300, 20)


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    clips = short_dir / "clips"
    clips.mkdir()
    sound = camera("sound", write_moving_clip(clips / "sound.mp4", 4.0), loop=True)
    render(clips)
    cameras: list[dict[str, Any]] = [sound]
    for seed in SEEDS:
        name, _, raw = damaged(clips, seed)
        path = clips / f"damaged-{seed}{Path(name).suffix}"
        path.write_bytes(raw)
        cameras.append(camera(f"damaged-{seed}", path, loop=False, realtime=False))
    daemon = Daemon(short_dir / "d", cameras, inference={"engine": "motion"}, counts={"bucket_s": 5})
    yield daemon
    daemon.kill()
    shutil.rmtree(clips)


def of(status: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in status["cameras"] if c["name"] == name)
    return found


def settled(found: dict[str, Any]) -> bool:
    return found["state"] in ("ended", "unreachable") and found["frames"]["in_flight"] == 0


def test_damaged_files_end_in_a_state_with_its_reason_and_cost_a_sound_camera_nothing(daemon: Daemon) -> None:
    daemon.start()
    daemon.wait_for(lambda s: of(s, "sound")["state"] == "live", 20.0, "the sound camera")
    hurt = [f"damaged-{seed}" for seed in SEEDS]
    status = daemon.wait_for(
        lambda s: all(settled(c) for c in s["cameras"] if c["name"] in hurt), 60.0, "an end of each"
    )
    for found in status["cameras"]:
        if found["name"] in hurt:
            assert found["detail"], found
            assert "\n" not in found["detail"], found
            assert unaccounted(found["frames"]) == 0, found
    states = {found["state"] for found in status["cameras"] if found["name"] in hurt}
    assert states == {"ended", "unreachable"}
    before = of(status, "sound")["frames"]["inferred"]
    status = daemon.wait_for(lambda s: of(s, "sound")["frames"]["inferred"] > before + 20, 20.0, "its frames")
    assert of(status, "sound")["state"] == "live"
    assert [worker["restarts"] for worker in status["workers"]] == [0] * len(status["workers"])
    assert daemon.stop() == 0
