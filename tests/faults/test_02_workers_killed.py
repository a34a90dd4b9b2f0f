"""Kill -9 of workers in the running daemon: what was counted stays, nothing is counted twice, frames balance.

The clip is read at its own pace and its true crossings are known, so that a loss cannot hide. A few kills
each: `python -m tests.faults.soak.kills` is the long form.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.faults.conftest import MOVING_S
from tests.frame_balance import unaccounted
from tests.moving import CROSS_S, LANES, camera, crossings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.usefixtures("redis_binary"),
]
KILLS = 8  # of each that is killed in turn
SHORT_TERM = (
    "from streamer.daemon import process_manager; process_manager.TERM_S = 8.0; "
    "from streamer.cli.main import main; main()"
)


def finished(status: dict[str, Any]) -> bool:
    ledger = status["ledger"].get("cameras", {})
    return all(c["state"] == "ended" for c in status["cameras"]) and all(
        ledger.get(c["name"], {"undelivered": 1})["undelivered"] == 0 for c in status["cameras"]
    )


def sequence(events: list[dict[str, Any]]) -> list[int]:
    return [e["data"]["seq"] for e in events]


def crossing_times(events: list[dict[str, Any]]) -> list[float]:
    crossed = [e["data"] for e in events if e["type"] == "streamer.line.crossed.v1"]
    return [data["crossed_media_ns"] / 1e9 for data in crossed]


def missed_at_most(events: list[dict[str, Any]]) -> float:
    """The crossings of the time that is not "seen"."""
    buckets = [e["data"] for e in events if e["type"] == "streamer.counts.v1"]
    blind_s = MOVING_S - sum(b["coverage"]["seen_s"] for b in buckets)
    return max(0.0, blind_s) * LANES / CROSS_S


def repeated(events: list[dict[str, Any]]) -> int:
    """Crossings of the same lane at the same time of the clip: counted twice."""
    crossed = [e["data"] for e in events if e["type"] == "streamer.line.crossed.v1"]
    keys = [(round(d["point_xyn"][1], 1), round(d["crossed_media_ns"] / 1e9)) for d in crossed]
    return len(keys) - len(set(keys))


def kill_in_turn(
    daemon: Daemon, names: list[str], times: int, pause_s: tuple[float, float], seed: int
) -> int:
    """Kill the named workers one after another at random moments; returns how many kills hit a process."""
    moments = random.Random(seed)
    hits = 0
    for turn in range(times * len(names)):
        time.sleep(moments.uniform(*pause_s))
        name = names[turn % len(names)]
        daemon.wait_for(lambda s, n=name: any(w["name"] == n and w["pid"] for w in s["workers"]), 20, name)
        hits += bool(daemon.kill_worker(name))
    return hits


def is_marked(event: dict[str, Any]) -> bool:
    return event["type"] == "streamer.counts.v1" and "restarted" in event["data"]["flags"]


def has_ended(status: dict[str, Any]) -> bool:
    return bool(status["cameras"][0]["state"] == "ended")


def kill_while_it_counts(daemon: Daemon, times: int) -> int:
    """Kill inference at random moments between frames; how often, before the clip had ended."""
    moments = random.Random(2)
    for kills in range(times):
        seen = daemon.camera("door")["frames"]["inferred"] + moments.randint(30, 60)
        status = daemon.wait_for(
            lambda s, n=seen: (
                s["cameras"][0]["state"] == "ended" or s["cameras"][0]["frames"]["inferred"] > n
            ),
            30,
            "frames",
        )
        if status["cameras"][0]["state"] == "ended":
            return kills
        daemon.kill_worker("infer-0")
    return times


def test_killing_delivery_and_redis_again_and_again_loses_nothing_and_repeats_nothing(
    daemon: Daemon, moving_clip: Path
) -> None:
    daemon.write_camera(camera("door", moving_clip))
    daemon.start()
    assert kill_in_turn(daemon, ["deliver", "redis"], KILLS, (0.5, 1.5), seed=1) == 2 * KILLS
    status = daemon.wait_for(finished, 120, "the clip's end and its delivery")
    events = daemon.events("door")
    assert sequence(events) == list(range(1, len(events) + 1))
    assert len(events) >= status["ledger"]["cameras"]["door"]["last_seq"]
    # A live clip on a busy box has frames dropped, and may miss a crossing; a lost event is a gap above.
    counted = len(crossing_times(events))
    assert -3 - missed_at_most(events) <= counted - crossings(MOVING_S) <= 3
    assert repeated(events) == 0
    frames = daemon.camera("door")["frames"]
    assert unaccounted(frames) == 0
    assert daemon.stop() == 0


def test_flushall_is_followed_by_the_same_stream(daemon: Daemon, moving_clip: Path) -> None:
    daemon.write_camera(camera("door", moving_clip, realtime=False))
    daemon.start()
    daemon.wait_for(finished, 120, "the clip's end and its delivery")
    before = daemon.settled_events("door")
    totals = daemon.totals("door")
    daemon.flush_redis()
    last = before[-1]["_id"]
    after = daemon.wait_for_events("door", lambda e: e["_id"] == last, 20)
    assert after[: len(before)] == before
    counted = {k: v for k, v in totals.items() if k.startswith("line/")}
    assert counted
    assert {k: v for k, v in daemon.totals("door").items() if k.startswith("line/")} == counted


def test_killing_inference_repeats_nothing_and_loses_at_most_the_batch_in_hand(
    daemon: Daemon, moving_clip: Path
) -> None:
    daemon.write_camera(camera("door", moving_clip))
    daemon.start()
    kills = kill_while_it_counts(daemon, KILLS // 2)
    assert kills
    daemon.wait_for(finished, 120, "the clip's end and its delivery")
    # The bucket in which it was started last may still be open, or the worker be on its way up.
    events = daemon.wait_for_events("door", is_marked, 30)
    assert sequence(events) == list(range(1, len(events) + 1))
    assert repeated(events) == 0
    # A crossing while the worker was being started is not seen by anybody.
    assert crossings(MOVING_S) - len(crossing_times(events)) <= kills + missed_at_most(events) + 1
    assert unaccounted(daemon.camera("door")["frames"]) == 0


def workers(status: dict[str, Any]) -> set[str]:
    return {c["worker"] for c in status["cameras"]}


def test_cameras_that_leave_quarantine_share_a_process_and_keep_their_balance(
    daemon: Daemon, moving_clip: Path
) -> None:
    for name in ("a", "b", "c"):
        daemon.write_camera(camera(name, moving_clip, loop=True))
    daemon.command = lambda *args: [  # type: ignore[method-assign]
        *(sys.executable, "-c", SHORT_TERM, "--config", str(daemon.config_dir)),
        *args,
    ]
    daemon.start()
    for _ in range(2):
        daemon.wait_for(lambda s: all(c["state"] == "live" for c in s["cameras"]), 30, "all to be live")
        daemon.kill_worker("capture-0")
        daemon.wait_for(lambda s: any(c["state"] != "live" for c in s["cameras"]), 10, "its death")
    daemon.wait_for(lambda s: len(workers(s)) == 3, 20, "a process for each")
    daemon.wait_for(lambda s: all(c["quarantine_s"] for c in s["cameras"]), 5, "it to be told")
    daemon.wait_for(lambda s: len(workers(s)) == 1, 60, "one process again")
    before = {c["name"]: c["frames"]["inferred"] for c in daemon.status()["cameras"]}
    status = daemon.wait_for(
        lambda s: all(
            c["state"] == "live" and c["frames"]["inferred"] > before[c["name"]] + 20 for c in s["cameras"]
        ),
        60,
        "frames of all",
    )
    for found in status["cameras"]:
        assert found["quarantine_s"] is None
        assert unaccounted(found["frames"]) == 0, found
        assert 0 <= found["frames"]["in_flight"] <= 3, found
    assert len([w for w in status["workers"] if w["role"] == "capture"]) == 1
    assert daemon.stop() == 0
