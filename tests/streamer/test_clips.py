"""Clips of events, with real processes: made, hidden, kept within limits, and refused in one line."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.api import control_socket as control
from streamer.daemon.clip_orders import OFF
from streamer.errors import StreamerError
from tests import clip_rig, moving
from tests.daemon import Daemon
from tests.patience import patient

pytestmark = pytest.mark.integration

ALERT = {"name": "passed", "line": "middle", "clip": True, "clear_after_s": 600}

Start = Callable[..., Daemon]


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_rig.write_film(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def start(short_dir: Path, film: Path, redis_binary: str) -> Iterator[Start]:  # noqa: ARG001
    """Starts a daemon with one camera, which sees somebody cross every second."""
    started: list[Daemon] = []

    def begin(clips: dict[str, Any] | None = None, alerts: tuple[Any, ...] = (), **more: Any) -> Daemon:
        camera: dict[str, Any] = moving.camera("door", film, realtime=True)
        camera["rules"] = {**camera["rules"], "alerts": list(alerts)}
        started.append(Daemon(short_dir, [camera], **clip_rig.settings(clips, **more)).start())
        return started[-1]

    yield begin
    for daemon in started:
        daemon.kill()


def refused(daemon: Daemon, *args: str) -> str:
    done = daemon.cli("clip", *args, check=False)
    assert done.returncode
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_clip_of_an_event_begins_before_it_is_told_as_an_event_and_can_be_listed_copied_and_removed(
    start: Start, short_dir: Path
) -> None:
    daemon = start()
    event = clip_rig.crossing(daemon)
    made = json.loads(daemon.cli("clip", event, "--json", "-o", str(short_dir / "out.mp4")).stdout)
    at_ns = next(
        e["data"]["emitted_ns"] - e["data"]["age_ms"] * 1e6 for e in daemon.events("door") if e["id"] == event
    )
    assert made["from_ns"] < at_ns - 1.9e9
    assert made["to_ns"] <= at_ns + 1.1e9
    copy = (short_dir / "out.mp4").read_bytes()
    assert (hashlib.sha256(copy).hexdigest(), len(copy)) == (made["sha256"], made["bytes"])
    assert clip_rig.frames(short_dir / "out.mp4") > 2 * moving.FPS
    data = clip_rig.told(daemon)
    assert {key: data[key] for key in ("clip", "event", "sha256", "people")} == {
        "clip": made["clip"],
        "event": event,
        "sha256": made["sha256"],
        "people": "show",
    }
    assert Path(data["path"]).stat().st_mode & 0o777 == 0o600
    assert daemon.cli("clip", "list").stdout.startswith(made["clip"])
    assert "no camera 'yard'; known: door" in refused(daemon, "list", "yard")
    daemon.cli("clip", "remove", event)
    assert clip_rig.clips_in(daemon) == []
    assert "no clip of" in refused(daemon, "remove", event)


def test_an_alert_that_asks_for_a_clip_gets_one_and_people_are_hidden_in_a_process_of_its_own(
    start: Start,
) -> None:
    daemon = start({"after_s": 0.5, "before_s": 1}, (ALERT,), privacy={"people": "silhouette"})
    data = clip_rig.told(daemon)
    raised = next(e for e in daemon.events("door") if e["type"] == "streamer.alert.v1")
    assert (data["event"], data["people"], data["codec"]) == (raised["id"], "silhouette", "h264")
    assert clip_rig.clips_in(daemon) == [Path(data["path"])]  # what showed people is gone
    assert clip_rig.frames(Path(data["path"])) >= moving.FPS


def test_a_site_that_hides_people_refuses_a_setting_that_shows_them(short_dir: Path) -> None:
    daemon = Daemon(short_dir, [], clips={**clip_rig.CLIPS, "people": "show"}, privacy={"people": "blur"})
    done = daemon.cli("run", "--check", check=False)
    assert done.returncode
    assert "clips.people: show shows more of people than privacy.people, blur" in done.stderr + done.stdout


def test_without_clips_nothing_is_kept_and_who_asks_is_told_how_they_are_switched_on(start: Start) -> None:
    daemon = start({"enabled": False}, (ALERT,))
    event = clip_rig.crossing(daemon)
    assert OFF in refused(daemon, event)
    assert not (daemon.state_dir / "clips").exists()
    assert daemon.camera("door")["clip_buffer_mb"] is None
    assert "clips" not in [worker["name"] for worker in daemon.status()["workers"]]
    assert "ask for clips, and clips.enabled is false" in daemon.log_path.read_text()


def test_what_cannot_be_made_is_refused_with_what_to_do(start: Start) -> None:
    daemon = start({"max_gb": 0})
    event = clip_rig.crossing(daemon)
    assert "clips.max_gb is 0" in refused(daemon, event)
    assert "no event door/99999" in refused(daemon, "door/99999")
    assert "is not an event's id" in refused(daemon, "door")
    assert daemon.worker("clips")["state"] == "ready"  # and everything else goes on


def test_an_event_that_is_older_than_what_is_kept_in_memory_is_too_late(start: Start) -> None:
    daemon = start({"buffer_s": 2.0, "before_s": 0.1, "after_s": 0.1})
    event = clip_rig.crossing(daemon)
    first = next(e["data"]["media_ns"] for e in daemon.events("door") if e["id"] == event)
    daemon.wait_for_events(
        "door", lambda e: e["type"] == clip_rig.CROSSED and e["data"]["media_ns"] > first + 8e9, 40
    )
    assert "too late: what is kept of it begins" in refused(daemon, event)
    socket = daemon.runtime_dir / "control.sock"
    asked = control.call(socket, "clip", {"action": "make", "event": event})
    assert asked["state"] == "recording"
    daemon.wait_for(lambda s: clip_rig.counts(s)["making"] == 0, 20, "that to fail")
    with pytest.raises(StreamerError, match="too late: what is kept of it begins"):
        control.call(socket, "clip", {"action": "read", "event": event})


def test_a_folder_that_is_missing_is_not_made_but_told_and_taken_once_it_is_there(
    start: Start, short_dir: Path
) -> None:
    folder = short_dir / "mounted"
    daemon = start({"folder": str(folder)})
    event = clip_rig.crossing(daemon)
    assert "no such folder: make it, or mount it" in refused(daemon, event)
    folder.mkdir()
    daemon.wait_for(lambda _: (folder / ".partial").exists(), 10, "the folder to be taken")
    daemon.cli("clip", clip_rig.crossing(daemon))
    assert len(list(folder.glob("*.mp4"))) == 1


def test_a_daemon_killed_while_it_records_leaves_no_half_clip_behind(start: Start) -> None:
    daemon = start({"after_s": 60})
    event = clip_rig.crossing(daemon)
    clip_rig.begin(daemon, event)
    partial = daemon.state_dir / "clips" / ".partial"
    daemon.wait_for(lambda _: list(partial.glob("*.mp4")), 10, "the recording to begin")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait(patient(5))
    assert list(partial.glob("*.mp4"))
    stray = daemon.state_dir / "clips" / "door-17-4.mp4"  # renamed, and killed before it was noted
    stray.write_bytes(b"x")
    daemon.start()
    daemon.wait_for(lambda s: clip_rig.counts(s).get("half_made") == 2, 20, "the leftovers to be cleaned")
    assert clip_rig.clips_in(daemon) == []


def test_a_camera_that_goes_away_meanwhile_gives_what_there_is_and_says_so(start: Start) -> None:
    daemon = start({"after_s": 20})
    event = clip_rig.crossing(daemon)
    clip_rig.begin(daemon, event)
    daemon.cli("camera", "set", "door", "source.fps=5")  # it is opened anew
    made = json.loads(daemon.cli("clip", event, "--json").stdout)
    assert "early: the camera went away, or began anew" in made["note"]
    assert clip_rig.frames(Path(made["path"])) > moving.FPS
