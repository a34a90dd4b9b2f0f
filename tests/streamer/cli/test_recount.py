"""`streamer recount`: a line drawn afterwards over the ledger of a real daemon."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator

import pytest

from streamer.config.schema import LEDGER_FILE
from streamer.config.store import ConfigStore
from streamer.errors import Exit
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger
from tests.streamer.cli.conftest import Run
from tests.streamer.cli.counted import Counted

pytestmark = pytest.mark.integration
NOON_NS = 1_795_003_200_000_000_000  # 2026-11-18 12:00 UTC
NS_PER_S = 1_000_000_000
ALL = ("--since", "all", "--until", "2100-01-01")


def test_the_same_line_gives_the_crossings_that_were_counted_live(counted: Counted) -> None:
    live = [e["data"] for e in counted.crossed() if e["subject"] == "middle"]
    found = counted.json("recount", "door", "--line", "again=0.5,1,0.5,0", "--names", "right,left", *ALL)
    assert len(live) >= 20
    assert sorted((c["track_id"], c["direction"], c["class"]) for c in found["crossings"]) == sorted(
        (e["track_id"], e["direction"], e["class"]) for e in live
    )
    assert sum(row["count"] for row in found["counts"]) == len(live)


def test_a_new_line_counts_what_it_would_have_counted(counted: Counted) -> None:
    """Only the upper lane's squares cross a line in the upper third; all go to its right."""
    upper = counted.json("recount", "door", "--line", "upper=0.6,0.3,0.6,0.05", *ALL)
    middle = counted.json("recount", "door", "--line", "whole=0.6,1,0.6,0", *ALL)
    directions = Counter(c["direction"] for c in upper["crossings"])
    assert set(directions) == {"left-to-right"}
    assert abs(directions["left-to-right"] - len(middle["crossings"]) / 3) <= 1
    turned = counted.json("recount", "door", "--line", "turned=0.6,0,0.6,1", *ALL)
    assert {c["direction"] for c in turned["crossings"]} == {"right-to-left"}


def test_a_zone_is_counted_again_by_its_entries_and_exits(counted: Counted) -> None:
    corners = "beside=0.4,0.05,0.6,0.05,0.6,0.95,0.4,0.95"
    passed = counted.json("recount", "door", "--line", "l=0.5,1,0.5,0", *ALL)["total"]["count"]
    found = counted.json("recount", "door", "--zone", corners, *ALL)
    ways = {row["direction"]: 0 for row in found["counts"]}
    for row in found["counts"]:
        ways[row["direction"]] += row["count"]
    assert set(ways) == {"entered", "exited"}
    assert found["zone"]["name"] == "beside"
    assert found["total"] == {"count": ways["entered"]}, "without an interval, as zones have none"
    assert abs(ways["entered"] - passed) <= 3  # all that cross its middle; who ended in it is one more
    assert (
        counted.daemon.cli("recount", "door", "--zone", corners, *ALL).stdout.count("entries of beside") == 1
    )
    both = counted.daemon.cli("recount", "door", "--zone", corners, "--line", "l=0,0,1,1", check=False)
    assert "say what is counted" in both.stderr
    crossed = counted.daemon.cli("recount", "door", "--zone", "z=0,0,1,1,1,0,0,0.5", *ALL, check=False)
    assert "give the corners in order around it" in crossed.stderr


def test_only_the_asked_time_is_counted(counted: Counted) -> None:
    whole = counted.json("recount", "door", "--line", "l=0.5,1,0.5,0", *ALL)
    cut = sorted(c["time"] for c in whole["crossings"])[10]
    early = counted.json("recount", "door", "--line", "l=0.5,1,0.5,0", "--since", "all", "--until", cut)
    late = counted.json(
        "recount", "door", "--line", "l=0.5,1,0.5,0", "--since", cut[:19] + "Z", "--until", "2100-01-01"
    )
    assert abs(len(early["crossings"]) - 10) <= 1  # --until is taken to the second
    assert len(early["crossings"]) + len(late["crossings"]) == len(whole["crossings"])


def test_csv_has_hour_direction_class_and_count(counted: Counted) -> None:
    done = counted.daemon.cli("recount", "door", "--line", "l=0.5,1,0.5,0", *ALL, "--csv")
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["hour", "direction", "class", "count", "low", "high"]
    assert {(row[1], row[2]) for row in rows[1:]} == {("left-to-right", "object")}
    assert done.stderr.startswith("no paths of")


def test_classes_that_the_line_does_not_want_are_not_counted(counted: Counted) -> None:
    found = counted.json("recount", "door", "--line", "l=0.5,1,0.5,0", "--classes", "person", *ALL)
    assert found["tracks"] > 0
    assert found["crossings"] == []


def test_consumers_are_not_sent_the_stored_path(counted: Counted) -> None:
    ended = [e for e in counted.events if e["type"] == "streamer.track.ended.v1"]
    assert ended
    assert all("trace" not in e["data"] and len(e["data"]["path"]) <= 12 for e in ended)


@pytest.fixture
def hour(store: ConfigStore) -> Iterator[Ledger]:
    """Events from 12:00 on, one bucket of a minute of which 20 s were offline, and none of 12:01 to 12:02."""
    path = store.load().state_path / LEDGER_FILE
    ledger = Ledger(path, "node-1", max_bytes=1 << 26, retention_days=9999, now_ns=lambda: NOON_NS)

    def bucket(seq: int, minute: int, offline_s: float) -> EventRecord:
        start_ns = NOON_NS + minute * 60 * NS_PER_S
        coverage = {"seen_s": 60 - offline_s, "gated_s": 0.0, "dropped_s": 0.0, "offline_s": offline_s}
        data = {"start_ns": start_ns, "end_ns": start_ns + 60 * NS_PER_S, "lines": {}, "coverage": coverage}
        return EventRecord("gate", seq, "streamer.counts.v1", "gate", 1, -1, 0, start_ns, 0.0, 1, data)

    data = {"track_id": 1, "class": "person", "first_media_ns": 0, "last_media_ns": 0}
    old = EventRecord("gate", 3, "streamer.track.ended.v1", "1", 1, 5, 0, NOON_NS + NS_PER_S, 0.0, 1, data)
    ledger.commit([bucket(1, 0, 20.0), bucket(2, 2, 0.0), old])
    yield ledger
    ledger.close()


@pytest.mark.usefixtures("hour")
def test_time_without_paths_is_told_with_its_reason(run: Run) -> None:
    args = ("--since", "2026-11-18T11:50", "--until", "2026-11-18T12:10", "--json")
    found = json.loads(run("recount", "gate", "--line", "l=0.5,1,0.5,0", *args).stdout)
    assert {m["reason"]: m["seconds"] for m in found["missing"]} == {
        "not_recorded": 60.0,  # both that before the first event and the minute without a bucket, see below
        "offline": 20.0,
        "open": 420.0,
    }
    assert [m["seconds"] for m in found["missing"] if m["reason"] == "not_recorded"] == [600.0, 60.0]
    assert found["tracks_without_path"] == 1  # as an older version's ledger has them


def test_what_is_past_the_retention_is_not_kept_rather_than_nothing(hour: Ledger, run: Run) -> None:
    hour.mark({"gate": 1})
    hour.retention.prune_old(NOON_NS + 9999 * 86_400 * NS_PER_S + 30 * NS_PER_S)
    args = ("--since", "2026-11-18T11:50", "--until", "2026-11-18T12:10", "--json")
    found = json.loads(run("recount", "gate", "--line", "l=0.5,1,0.5,0", *args).stdout)
    assert found["missing"][0]["reason"] == "not_kept"


@pytest.mark.usefixtures("hour")
@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("yard", "--line", "l=0,0,1,1"), Exit.CONFIG, "no camera 'yard'; it has gate"),
        (("gate", "--line", "l=0,0"), Exit.CONFIG, "2 points or more"),
        (("gate", "--line", "0,0,1,1"), Exit.CONFIG, "give NAME="),
        (("gate", "--line", "l=0,0,5,5"), Exit.CONFIG, "outside the picture"),
        (("gate", "--line", "l=0.5,0.5,0.5,0.5"), Exit.CONFIG, "needs a length"),
        (("gate", "--line", "l=0,0,1,1", "--names", "in"), Exit.CONFIG, "two names"),
        (("gate", "--line", "l=0,0,1,1", "--since", "2h", "--until", "3h"), Exit.CONFIG, "not before"),
        (("gate", "--line", "l=0,0,1,1", "--until", "later"), Exit.USAGE, "--until"),
        (("gate",), Exit.USAGE, "--line"),
    ],
)
def test_what_is_not_understood_is_refused(run: Run, args: tuple[str, ...], code: Exit, says: str) -> None:
    result = run("recount", *args)
    assert result.exit_code == code, result.stderr
    assert says in result.stderr
