"""A person's correction: an event beside the count, once, in the totals, with who and why."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.config.schema import CameraConfig, Config
from streamer.daemon.corrections import line_of
from streamer.errors import Exit
from streamer.events.cloudevents import COUNT_CORRECTED, EventId
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger, LedgerReader
from streamer.ledger.verification import verify
from streamer.models.camera_check import counted_classes
from tests.daemon import Daemon
from tests.moving import LINE, camera, write_moving_clip
from tests.streamer.test_ledger import NODE, NOW_NS, crossing

KEY = "line/door/in/1/person"


def correction(seq: int, amount: int, at_ns: int = NOW_NS) -> EventRecord:
    data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "amount": amount}
    data |= {"at_ns": at_ns, "reason": "a queue at the door", "by": "anna", "uid": 1000}
    return EventRecord("gate", seq, COUNT_CORRECTED, "door", 1, -1, 0, NOW_NS + seq, 0.0, 1, data)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "l.sqlite", NODE, max_bytes=64 << 20, retention_days=30, now_ns=lambda: NOW_NS)
    opened.commit([crossing(1), crossing(2), correction(3, -2), crossing(4), correction(5, 7)])
    yield opened
    opened.close()


def test_what_was_counted_stays_and_the_correction_stands_beside_it(ledger: Ledger) -> None:
    ledger.commit([correction(6, 1, NOW_NS - 3_600_000_000_000)])
    reader = LedgerReader(ledger.path)
    counts = list(reader.counts())
    reader.close()
    assert [(c.n, c.corrected) for c in counts] == [(3, 5), (0, 1)]
    assert verify(ledger.path).findings == []


def test_a_correction_that_comes_twice_corrects_once(ledger: Ledger) -> None:
    done = ledger.commit([correction(5, 7)])
    assert (done.stored, done.repeated, done.conflicts) == (0, 1, 0)
    reader = LedgerReader(ledger.path)
    assert reader.totals("gate") == {KEY: 8}
    reader.close()


def test_totals_can_be_had_as_they_stood_between_corrections(ledger: Ledger) -> None:
    reader = LedgerReader(ledger.path)
    stood = [reader.totals_at("gate", EventId(ledger.lineage, seq)).get(KEY, 0) for seq in range(6)]
    reader.close()
    assert stood == [0, 1, 2, 0, 1, 8]


def test_a_correction_that_was_changed_behind_the_ledgers_back_is_named(ledger: Ledger) -> None:
    ledger._db.execute("UPDATE corrections SET amount=70 WHERE seq=5")
    assert "correction 5" in verify(ledger.path).findings[0].text


def test_a_moment_that_is_pruned_takes_its_correction_along_and_the_total_stays(ledger: Ledger) -> None:
    ledger.mark({})
    ledger.retention._rollups_at_ns = 0
    later_ns = NOW_NS + 40 * 86_400_000_000_000
    for _ in range(2):
        ledger.retention._rollups_at_ns = 0
        ledger.retention.prune_old(later_ns)
    reader = LedgerReader(ledger.path)
    assert (list(reader.counts()), reader.totals("gate")) == ([], {KEY: 8})
    reader.close()


@pytest.fixture
def daemon(short_dir: Path, redis_binary: str) -> Iterator[Daemon]:  # noqa: ARG001
    clip = write_moving_clip(short_dir / "moving.mp4", 8.0)
    daemon = Daemon(short_dir, [camera("door", clip, realtime=False)], inference={"engine": "motion"})
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["state"] == "ended", 60, "the clip's end")
    daemon.settled_events("door")
    yield daemon
    daemon.kill()


def total(daemon: Daemon, key: str) -> int:
    return int(daemon.totals("door").get(key, 0))


@pytest.mark.integration
def test_a_person_corrects_a_count_and_it_shows_everywhere_once(daemon: Daemon) -> None:
    reader = LedgerReader(daemon.state_dir / "ledger.sqlite")
    (key,) = [key for key in reader.totals("door") if key.startswith("line/")][:1]
    _, line, direction, _, class_name = key.split("/", 4)
    before = reader.totals("door")[key]
    reader.close()
    args = ("door", line, direction, "-2", "--reason", "two children on a trolley", "--class", class_name)
    made = json.loads(daemon.cli("correct", *args, "--json").stdout)
    found = daemon.wait_for_events("door", lambda e: e["type"] == COUNT_CORRECTED, 10)
    (event,) = [e for e in found if e["type"] == COUNT_CORRECTED]
    assert (event["data"]["seq"], event["data"]["uid"]) == (made["seq"], os.getuid())
    daemon.kill_worker("infer-0")
    daemon.wait_for(lambda s: daemon._serves(s) and s["workers"], 30, "the workers")
    assert total(daemon, key) == before - 2
    rows: list[dict[str, Any]] = json.loads(daemon.cli("counts", "--since", "all", "--json").stdout)["counts"]
    row = next(r for r in rows if (r["name"], r["direction"]) == (line, direction))
    assert (row["counted"] - row["count"], row["corrected"]) == (2, -2)
    assert "corrected by -2" in daemon.cli("counts", "--since", "all").stdout
    shown = daemon.cli("events", "--type", "count.corrected").stdout
    assert "two children on a trolley" in shown
    assert "sound" in daemon.cli("ledger", "verify").stdout


@pytest.mark.integration
def test_what_there_is_nothing_of_cannot_be_corrected_and_nothing_can_without_a_daemon(
    daemon: Daemon,
) -> None:
    def refused(*args: str) -> tuple[int, str]:
        done = daemon.cli("correct", *args, "--reason", "why", "--class", "person", check=False)
        return done.returncode, done.stderr

    assert "no line 'gate'" in refused("door", "gate", "in", "+1")[1]
    assert refused("shop", "line", "in", "+1")[0] == Exit.CONFIG
    assert refused("door", "gate", "in", "0")[0] == Exit.CONFIG
    where = ("door", str(LINE["name"]), "nowhere", "+1")
    assert refused(*where)[0] == Exit.CONFIG, "no such direction"
    unnamed = daemon.cli("correct", "shop", "line", "in", "+1", "--reason", "why", check=False).stderr
    assert "no camera 'shop'" in unnamed, "and not that a class is lacking"
    early = daemon.cli("correct", *where, "--reason", "why", "--at", "1970-01-01", check=False)
    assert early.returncode != 0
    assert "--at" in early.stderr
    latin = daemon.cli(
        "correct",
        "door",
        str(LINE["name"]),
        str(LINE["left_to_right"]),
        "+1",
        "--reason",
        "\udcff",
        check=False,
    )
    assert latin.returncode == Exit.CONFIG
    assert "UTF-8" in latin.stderr
    assert daemon.stop() == 0
    assert refused("door", str(LINE["name"]), str(LINE["left_to_right"]), "+1")[0] == Exit.RUNNING


@pytest.mark.integration
def test_a_class_that_the_line_does_not_count_is_refused_with_those_that_it_counts(daemon: Daemon) -> None:
    where = ("door", str(LINE["name"]), str(LINE["left_to_right"]), "+1", "--reason", "why")
    done = daemon.cli("correct", *where, "--class", "unicorn", check=False)
    assert done.returncode == Exit.CONFIG
    assert "counts no 'unicorn'" in done.stderr
    assert done.stderr.rstrip().endswith("it counts object")
    assert not [e for e in daemon.events("door") if e["type"] == COUNT_CORRECTED]


def test_a_line_counts_the_classes_that_it_and_its_camera_name_as_events_name_them(tmp_path: Path) -> None:
    line = {"name": "gate", "points": [[0.1, 0.5], [0.9, 0.5]], "left_to_right": "in", "right_to_left": "out"}
    rules = {
        "classes": ["person", "vehicle"],
        "lines": [line, {**line, "name": "road", "classes": ["vehicle"]}],
    }
    shop = CameraConfig.model_validate({"name": "shop", "url": "rtsp://10.0.0.9/live", "rules": rules})
    config = Config(state_dir=tmp_path, cameras=(shop,))
    of_gate, of_road = (counted_classes(config, shop, line_of(shop, name)) for name in ("gate", "road"))
    assert "person" in of_gate
    assert "car" in of_gate
    assert "bicycle" not in of_gate
    assert "car" in of_road
    assert "person" not in of_road
