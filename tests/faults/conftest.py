"""The daemon and the clip that the fault tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import make_clip, repeat_clip
from tests.daemon import Daemon
from tests.moving import write_moving_clip

MOVING_S = 20.0


@pytest.fixture(scope="session")
def moving_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s of squares that cross a line (tests/moving.py)."""
    return write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", MOVING_S)


@pytest.fixture(scope="session")
def minute_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 s of numbered pictures, for a camera that only has to be live."""
    folder = tmp_path_factory.mktemp("clips")
    return repeat_clip(make_clip(folder / "part.mp4", frames=100), folder / "minute.mp4", 15)


@pytest.fixture
def daemon(short_dir: Path, redis_binary: str) -> Iterator[Daemon]:  # noqa: ARG001 - it runs one
    """Not started; motion detection, so that no model is needed."""
    daemon = Daemon(short_dir, inference={"engine": "motion"}, counts={"bucket_s": 5})
    yield daemon
    daemon.kill()
