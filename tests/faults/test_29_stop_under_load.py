"""Case 29: SIGTERM under load: what is in hand is counted and written within ten seconds; exit 0."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from streamer.ledger import LedgerReader
from tests.daemon import Daemon
from tests.moving import camera
from tests.patience import patient

pytestmark = pytest.mark.integration
CAMERAS = 6
DRAIN_S = 10.0
CROSSED, COUNTS = "streamer.line.crossed.v1", "streamer.counts.v1"


def counted(bucket: dict[str, object]) -> int:
    return sum(n for line in bucket["lines"].values() for way in line.values() for n in way.values())  # type: ignore[attr-defined]


def test_a_daemon_that_is_told_to_stop_under_load_writes_its_last_counts(
    daemon: Daemon, moving_clip: Path
) -> None:
    for number in range(CAMERAS):
        daemon.write_camera(camera(f"gate-{number}", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for(lambda s: min(c["frames"]["inferred"] for c in s["cameras"]) > 40, 60, "load on all")
    pids = [w["pid"] for w in daemon.status()["workers"]]
    began_s = time.monotonic()
    assert daemon.stop(DRAIN_S) == 0
    assert time.monotonic() - began_s < patient(DRAIN_S)
    assert "did not stop in time" not in daemon.log()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not daemon.segments_dir.exists()
    reader = LedgerReader(daemon.state_dir / "ledger.sqlite")
    for number in range(CAMERAS):
        events = reader.after(f"gate-{number}", None, 100_000)
        assert [e.id.seq for e in events] == list(range(1, len(events) + 1))
        data = [(e.type, json.loads(e.body)["data"]) for e in events]
        crossed = [d for kind, d in data if kind == CROSSED]
        buckets = [d for kind, d in data if kind == COUNTS]
        assert crossed, "nothing was counted: the test shows nothing"
        # What was counted last is in a bucket too, which was closed for the stop.
        assert sum(map(counted, buckets)) == len(crossed)
    reader.close()


def test_what_redis_has_not_got_at_the_stop_is_sent_after_the_next_start(
    daemon: Daemon, moving_clip: Path
) -> None:
    daemon.write_camera(camera("gate", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for_events("gate", lambda e: e["type"] == CROSSED, 30)
    assert daemon.stop() == 0
    kept = shutil.copytree(daemon.state_dir, daemon.base / "kept", ignore=shutil.ignore_patterns("*.sock"))
    reader = LedgerReader(kept / "ledger.sqlite")
    ids = [str(event.id) for event in reader.after("gate", None, 100_000)]
    reader.close()
    daemon.start()
    events = daemon.wait_for_events("gate", lambda e: e["_id"] == ids[-1], 30)
    assert [e["_id"] for e in events][: len(ids)] == ids
    assert daemon.stop() == 0
