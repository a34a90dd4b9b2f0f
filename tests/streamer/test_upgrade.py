"""A daemon goes on from the state folder and configuration that an older version wrote (tests/upgrade/)."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.daemon import Daemon
from tests.moving import crossings, write_moving_clip
from tests.upgrade.record import CLIP_S

WRITTEN = sorted((Path(__file__).parents[1] / "upgrade").glob("*.tar.xz"))
FOR_EVER_D = 36500  # days that events are kept: the folder may be old

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]


class Upgraded(NamedTuple):
    daemon: Daemon
    expected: dict[str, Any]


@pytest.fixture(params=WRITTEN, ids=lambda path: path.name.split(".")[0])
def upgraded(request: pytest.FixtureRequest, short_dir: Path) -> Iterator[Upgraded]:
    """This version's daemon, on what the other one left, once its clip has run to the end again."""
    daemon = Daemon(
        short_dir / "daemon",
        inference={"engine": "motion"},
        counts={"bucket_s": 5},
        ledger={"retention_days": FOR_EVER_D},
        sinks=[{"kind": "redis"}],
    )
    with tarfile.open(request.param) as archive:
        archive.extractall(short_dir, filter="data")
    (short_dir / "state").rename(daemon.state_dir)
    clip = write_moving_clip(short_dir / "moving.mp4", CLIP_S)
    for written in (short_dir / "config" / "cameras.d").iterdir():
        lines = written.read_text().splitlines()
        text = "\n".join(f"url: {clip}" if line.startswith("url: ") else line for line in lines)
        (daemon.config_dir / "cameras.d" / written.name).write_text(text + "\n")
    daemon.start()
    daemon.wait_for(lambda s: all(c["state"] == "ended" for c in s["cameras"]), 60, "the clip to end")
    yield Upgraded(daemon, json.loads((short_dir / "expected.json").read_text()))
    daemon.kill()


def test_identity_sequence_totals_and_old_counts_go_on(upgraded: Upgraded) -> None:
    daemon, expected = upgraded
    total = "line/middle/right/1/object"
    wanted = str(int(expected["totals"][total]) + crossings(CLIP_S))
    events = daemon.wait_for_events("door", lambda _event: daemon.totals("door").get(total) == wanted, 20)
    ids = [event["_id"] for event in events]
    assert daemon.status()["node"] == expected["node"]
    assert ids[: len(expected["event_ids"])] == expected["event_ids"]
    lineage, last = expected["event_ids"][-1].split("-")
    assert ids[len(expected["event_ids"])] == f"{lineage}-{int(last) + 1}"
    counts = json.loads(daemon.cli("counts", "--since", "2020-01-01", "--json").stdout)["counts"]
    of_gate = [row for row in counts if row["camera"] == "gate"]
    assert of_gate == [row for row in expected["counts"] if row["camera"] == "gate"]
    daemon.cli("explain", expected["crossing"], "--camera", "door")  # the rule as it was then
