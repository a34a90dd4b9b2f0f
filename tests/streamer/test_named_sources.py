"""Who may name which source to a running daemon, without a daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamer.api.callers import Caller
from streamer.api.source_urls import check_source
from streamer.config.schema import CameraConfig, Config
from streamer.errors import ConfigError

OWNER = Caller(os.geteuid())
OTHER = Caller(54321, frozenset({54321}))


def camera(url: str, **source: object) -> CameraConfig:
    return CameraConfig.model_validate({"name": "new", "url": url, "source": source})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(state_dir=tmp_path / "state", runtime_dir=tmp_path / "run")


def test_a_file_of_authorities_is_named_by_who_owns_the_daemon(config: Config) -> None:
    checked = camera("https://10.0.0.7/video", ca="/etc/streamer/door.pem")
    check_source(config, None, checked, OWNER)
    with pytest.raises(ConfigError, match=r"source\.ca: only root"):
        check_source(config, None, checked, OTHER)
    before = camera("https://10.0.0.7/other", ca="/etc/streamer/door.pem")
    check_source(config, before, checked, OTHER)  # it has it already
    for allowed in ("system", "any"):
        check_source(config, None, camera("https://10.0.0.7/video", ca=allowed), OTHER)


@pytest.mark.parametrize("url", ["folder:///etc", "folder:///srv/clips"])
def test_a_folder_is_named_as_a_clip_is(config: Config, url: str) -> None:
    with pytest.raises(ConfigError, match=r"the system's|only root"):
        check_source(config, None, camera(url), OTHER)


@pytest.mark.parametrize("scheme", ["http", "https", "rtmp", "rtmps"])
def test_an_address_that_no_camera_may_have_is_refused_in_every_scheme(config: Config, scheme: str) -> None:
    with pytest.raises(ConfigError, match=r"sources\.networks"):
        check_source(config, None, camera(f"{scheme}://169.254.169.254/latest"), OWNER)


def test_two_ways_to_decode_less_are_not_taken_together() -> None:
    with pytest.raises(ValueError, match="gate=auto and frames=key"):
        camera("rtsp://10.0.0.7/live", gate="auto", frames="key")
