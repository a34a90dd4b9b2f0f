"""`streamer audit CAMERA` beside a real daemon: its next seconds are watched and asked about."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.moving import camera, write_moving_clip

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("redis_binary")]


@pytest.fixture
def daemon(short_dir: Path, tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 5})
    clip = write_moving_clip(tmp_path / "moving.mp4", 60.0)
    daemon.write_camera(camera("door", clip, loop=True))
    yield daemon
    daemon.kill()


def test_a_running_camera_is_asked_about_as_it_counts_and_no_picture_is_kept(
    daemon: Daemon, tmp_path: Path
) -> None:
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 50, 30, "frames")
    folder = tmp_path / "cwd"
    folder.mkdir()
    done = daemon.cli(
        *("audit", "door", "--bucket-s", "2", "--number", "2", "--json"),
        input="3\nu\n3\nu\n3\nu\n",
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path.cwd())},
    )
    assert "watching door" in done.stderr
    assert "how many crossed?" in done.stderr
    found = json.loads(done.stdout)
    assert found["answers"] >= 1
    assert [estimate["name"] for estimate in found["estimates"]] == ["middle right", "middle left", "all"]
    assert found["estimates"][0]["counted"] >= 1
    assert list(folder.iterdir()) == []
    assert daemon.stop() == 0
