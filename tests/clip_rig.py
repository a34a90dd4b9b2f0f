"""Clips of a daemon under test: who crosses every second, and what is asked and known of clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

from streamer.api import control_socket as control
from tests import moving
from tests.daemon import Daemon
from tests.patience import patient

FILM_S = 90.0
CROSSED = "streamer.line.crossed.v1"
CLIPS: dict[str, Any] = {"enabled": True, "before_s": 2, "after_s": 1, "min_free_mb": 0}


def write_film(folder: Path) -> Path:
    """Somebody crosses the line "middle" three times in two seconds."""
    return moving.write_moving_clip(folder / "squares.mp4", FILM_S)


def settings(clips: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """For streamer.yaml."""
    return {"inference": {"engine": "motion"}, "clips": {**CLIPS, **(clips or {})}, **more}


def begin(daemon: Daemon, event: str) -> dict[str, Any]:
    """Have a clip made, and do not wait for it."""
    asked = {"action": "make", "event": event}
    return control.call(daemon.runtime_dir / "control.sock", "clip", asked, patient(5))


def crossing(daemon: Daemon) -> str:
    """The id of the newest crossing, once there is one with two seconds before it."""
    daemon.wait_for_events("door", lambda e: e["type"] == CROSSED and e["data"]["media_ns"] > 3e9, 40)
    return [str(e["id"]) for e in daemon.events("door") if e["type"] == CROSSED][-1]


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def told(daemon: Daemon) -> dict[str, Any]:
    """The data of the event that tells of a clip."""
    events = daemon.wait_for_events("door", lambda e: e["type"] == "streamer.clip.v1", 40)
    return next(dict(e["data"]) for e in events if e["type"] == "streamer.clip.v1")


def counts(status: dict[str, Any]) -> dict[str, Any]:
    """What the clips worker says of itself."""
    return next(dict(worker["status"]) for worker in status["workers"] if worker["name"] == "clips")


def clips_in(daemon: Daemon) -> list[Path]:
    return sorted(p for p in (daemon.state_dir / "clips").rglob("*") if p.suffix in (".mp4", ".mkv"))
