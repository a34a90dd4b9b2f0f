"""Fault 35, of a camera's URL: what a running daemon is asked to open, it does not open for everybody.

The page's part (cross-site requests, host names) belongs to the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.api import control_socket as control
from streamer.errors import ControlError, Exit
from tests.daemon import Daemon
from tests.moving import camera
from tests.other_user import as_other_user, needs_root, open_to_group
from tests.patience import patient

pytestmark = pytest.mark.integration


@pytest.fixture
def clips(short_dir: Path, moving_clip: Path) -> Path:
    """A folder with a clip, and one outside of it."""
    folder = short_dir / "clips"
    folder.mkdir()
    for name in ("clips/in.mp4", "out.mp4"):
        (short_dir / name).write_bytes(moving_clip.read_bytes())
    return folder


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, inference={"engine": "motion"}, sinks=[])
    yield daemon
    daemon.kill()


def put(daemon: Daemon, url: str, name: str = "new") -> None:
    """Ask for it as the command line does, without its own look at the URL. Raises ControlError."""
    change = {"op": "camera.put", "camera": {"name": name, "url": url}}
    control.call(daemon.runtime_dir / "control.sock", "change", change, patient(10))


def files(daemon: Daemon) -> list[str]:
    return sorted(path.name for path in (daemon.config_dir / "cameras.d").glob("*.yaml"))


@pytest.mark.parametrize("how", ["probed", "forced"])
def test_the_command_is_refused_with_what_to_set(daemon: Daemon, clips: Path, how: str) -> None:
    daemon.start()
    forced = ["--no-probe", "--force"] if how == "forced" else []
    refusals = {
        "file:///etc/shadow": "the system's",
        f"{daemon.state_dir}/node-id": "the daemon's own",
        "rtsp://169.254.169.254/latest/meta-data": "sources.networks",
        "rtsp://[fd00:ec2::254]/latest": "sources.networks",
        "rtsp://[::ffff:169.254.169.254]:80/": "sources.networks",
        "http://169.254.169.254/": "sources.networks",
    }
    answers = daemon.commands(*(("camera", "add", "new", url, *forced) for url in refusals))
    for (url, words), done in zip(refusals.items(), answers, strict=True):
        said = done.stderr.strip().splitlines()[-1]
        assert done.returncode != 0, url
        if how == "forced" or "sources" in words:
            assert words in said, said
    assert files(daemon) == []
    daemon.cli("camera", "add", "mine", str(clips / "in.mp4"), "--no-probe")  # its own user's, as ever
    assert daemon.stop() == 0


@needs_root
def test_another_user_may_name_clips_of_the_named_folders_alone(daemon: Daemon, clips: Path) -> None:
    outside, inside = str(clips.parent / "out.mp4"), str(clips / "in.mp4")
    link = clips / "link.mp4"
    link.symlink_to(outside)
    daemon.write_camera(camera("old", Path(outside), loop=True))
    daemon.start()
    socket = daemon.runtime_dir / "control.sock"
    open_to_group(socket)
    with as_other_user(), pytest.raises(ControlError, match=r"only root .*sources\.files") as caught:
        put(daemon, inside)
    assert caught.value.exit_code == Exit.CONFIG
    with as_other_user():  # a camera that has one already can be changed as before
        set_fps: dict[str, Any] = {"op": "camera.set", "name": "old", "values": {"source.fps": 5}}
        control.call(socket, "change", set_fps, patient(10))
    assert daemon.stop() == 0
    allow(daemon, clips)
    daemon.start()
    open_to_group(socket)
    with as_other_user():
        put(daemon, inside)
        for path in (outside, str(link), f"{clips}/../out.mp4"):
            with pytest.raises(ControlError, match=r"may not lie there.*sources\.files"):
                put(daemon, path, "other")
    # Where folders are named they hold for a person's own file as well, when it is opened.
    status = daemon.wait_for(lambda s: row(s, "new")["state"] == "live", 20, "the clip in the folder")
    assert row(status, "old")["state"] != "live"
    assert "sources.files" in row(status, "old")["detail"]
    assert daemon.stop() == 0


def test_a_link_local_camera_in_a_file_is_not_opened_until_its_network_is_named(daemon: Daemon) -> None:
    daemon.write_camera({"name": "odd", "url": "rtsp://169.254.7.20/live"})
    daemon.start()
    status = daemon.wait_for(lambda s: row(s, "odd")["state"] == "unreachable", 20, "the refusal")
    assert "sources.networks" in row(status, "odd")["detail"]
    assert daemon.stop() == 0


def allow(daemon: Daemon, folder: Path) -> None:
    with (daemon.config_dir / "streamer.yaml").open("a") as file:
        file.write(f"sources: {{files: [{folder}]}}\n")


def row(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in status["cameras"] if c["name"] == name)
