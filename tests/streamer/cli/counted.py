"""A ledger that a real daemon made of a clip whose crossings are known; `explain` and `recount` read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.config.schema import LEDGER_FILE
from streamer.ledger import LedgerReader
from tests.daemon import Daemon
from tests.moving import camera, write_moving_clip

SECONDS = 20.0
NEAR_ZONE = {"name": "beside", "points": [[0.0, 0.36], [1.0, 0.36], [1.0, 0.38], [0.0, 0.38]]}
FAR_LINE = {"name": "edge", "points": [[0.985, 0.9], [0.985, 0.1]]}


@dataclass(frozen=True)
class Counted:
    """A daemon that has counted and was stopped: its folders remain."""

    daemon: Daemon
    events: list[dict[str, Any]]

    def crossed(self) -> list[dict[str, Any]]:
        return [e for e in self.events if e["type"] == "streamer.line.crossed.v1"]

    def json(self, *args: str) -> dict[str, Any]:
        found = json.loads(self.daemon.cli(*args, "--json").stdout)
        assert isinstance(found, dict)
        return found


def count(folder: Path) -> Counted:
    """Run the daemon on the moving squares to the clip's end, and stop it."""
    clip = write_moving_clip(folder / "moving.mp4", SECONDS)
    daemon = Daemon(folder, inference={"engine": "motion"}, counts={"bucket_s": 5})
    found = camera("door", clip, realtime=False)
    rules: Any = found["rules"]
    rules["lines"] = [*rules["lines"], FAR_LINE]
    rules["zones"] = [NEAR_ZONE]
    daemon.write_camera(found)
    try:
        daemon.start()
        daemon.wait_for(lambda s: s["cameras"][0]["state"] == "ended", 60, "the clip's end")
        assert daemon.stop() == 0
    finally:
        daemon.kill()
    reader = LedgerReader(daemon.state_dir / LEDGER_FILE)
    events = [{**json.loads(e.body), "_id": str(e.id)} for e in reader.last_events(10_000, "door")]
    reader.close()
    return Counted(daemon, events)
