"""Writes the state folder of this version, for the test that later versions go on from it.

    python -m tests.upgrade.record tests/upgrade/VERSION.tar.xz

Two cameras count a drawn clip to its end; then a line is added to one and the other is removed, so that the
folder holds revisions, a camera that is no more, and buckets that are closed. What it counted lies beside it
in `expected.json`. Redis' own files are left out: they are made again from the ledger.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.daemon import Daemon
from tests.moving import camera, write_moving_clip

CLIP_S = 20.0
KEPT = ("ledger.sqlite", "epochs.json", "node", "revisions.json")


def record(base: Path) -> tuple[Daemon, dict[str, Any]]:
    """Run a daemon below `base`; returns it, ended, and what it had counted."""
    clip = write_moving_clip(base / "moving.mp4", CLIP_S)
    daemon = Daemon(base / "daemon", inference={"engine": "motion"}, counts={"bucket_s": 5})
    for name in ("door", "gate"):
        daemon.write_camera(camera(name, clip, realtime=False))
    daemon.start()
    try:
        daemon.wait_for(lambda s: all(c["state"] == "ended" for c in s["cameras"]), 60, "the clips to end")
        time.sleep(7)  # the last bucket closes
        daemon.cli("line", "add", "door", "extra", "0.2,0.1", "0.2,0.9")
        daemon.cli("camera", "remove", "gate")
        daemon.wait_for(lambda s: s["config_rev"] == 3, 10, "the changes")
        events = daemon.events("door")
        expected = {
            "node": daemon.status()["node"],
            "event_ids": [event["_id"] for event in events],
            "crossing": next(e["_id"] for e in events if e["type"] == "streamer.line.crossed.v1"),
            "totals": daemon.totals("door"),
            "counts": json.loads(daemon.cli("counts", "--since", "2020-01-01", "--json").stdout)["counts"],
        }
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait(20)
    finally:
        daemon.kill()
    return daemon, expected


def main() -> int:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, tarfile.open(sys.argv[1], "w:xz") as archive:
        daemon, expected = record(Path(folder))
        for name in KEPT:
            archive.add(daemon.state_dir / name, f"state/{name}")
        archive.add(daemon.config_dir / "cameras.d", "config/cameras.d")
        text = json.dumps(expected, indent=1).encode()
        member = tarfile.TarInfo("expected.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
