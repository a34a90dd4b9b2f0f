"""`streamer explain`: an event's track, rule, frames and near misses, from a real daemon's ledger."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamer.config.store import ConfigStore
from streamer.daemon.assignments import LEDGER_FILE
from streamer.errors import Exit
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger
from tests.streamer.cli.conftest import Run
from tests.streamer.cli.counted import Counted

pytestmark = pytest.mark.integration
NOON_NS = 1_795_003_200_000_000_000  # 2026-11-18 12:00 UTC


def test_a_crossing_is_told_with_its_track_rule_and_frames(counted: Counted) -> None:
    event = next(e for e in counted.crossed()[3:] if e["subject"] == "middle")
    told = counted.json("explain", event["id"])
    data = event["data"]
    assert told["rule"]["line"]["points"] == [[0.5, 1.0], [0.5, 0.0]]
    assert told["rule"]["config_rev"] == data["config_rev"]
    assert told["margins"]["margin"] == data["margin"] > told["margins"]["margin_needed"]
    assert told["frames"]["decided"]["frame_id"] == data["frame_id"]
    assert told["frames"]["decided"]["age_ms"] == data["age_ms"]
    assert told["frames"]["happened"]["before_decision_s"] > 0
    track = told["track"]
    assert track["state"] == "ended"
    assert track["votes"] == {"object": track["places"]}
    xs = [(knot[1] + knot[3]) / 2 for knot in track["path"]]
    assert xs[0] < 0.3 < 0.7 < xs[-1]  # the square's way through the picture
    assert max(abs((knot[2] + knot[4]) / 2 - data["point_xyn"][1]) for knot in track["path"]) < 0.02


def test_what_nearly_happened_is_told(counted: Counted) -> None:
    """The squares leave the picture just behind the line "edge", and pass beside the zone."""
    told = [counted.json("explain", e["id"])["nearly"] for e in counted.crossed() if e["subject"] == "middle"]
    moments = [moment for nearly in told for moment in nearly]
    refused = [m for m in moments if m["kind"] == "refused"]
    assert refused
    assert {m["rule"] for m in refused} == {"edge"}
    assert all("the track ended" in m["text"] or "band" in m["text"] for m in refused)
    assert not [m for m in moments if m["rule"] == "middle"], "each square is counted once, with nothing near"


def test_every_form_of_an_id_names_the_same_event(counted: Counted) -> None:
    event = counted.crossed()[0]
    texts = [
        counted.daemon.cli("explain", event["id"]).stdout,
        counted.daemon.cli("explain", f"door/{event['data']['seq']}").stdout,
        counted.daemon.cli("explain", event["_id"], "--camera", "door").stdout,
    ]
    assert texts[0] == texts[1] == texts[2]
    assert "line middle 0.5,1 0.5,0" in texts[0] or "line edge" in texts[0]


def test_the_picture_shows_line_path_and_crossing(counted: Counted, tmp_path: Path) -> None:
    event = next(e for e in counted.crossed()[3:] if e["subject"] == "middle")
    out = tmp_path / "why.png"
    counted.daemon.cli("explain", event["id"], "--picture", str(out))
    image = cv2.imread(str(out))
    assert image is not None
    height, width = image.shape[:2]
    x, y = (round(v * s) for v, s in zip(event["data"]["point_xyn"], (width, height), strict=True))
    ring = image[y - 14 : y - 11, x - 2 : x + 3].reshape(-1, 3).astype(int)
    assert (np.abs(ring - (90, 220, 90)).sum(axis=1) < 60).any()  # green: from the left to the right
    way = image[y - 2 : y + 3, round(0.42 * width)].astype(int)
    assert (way.min(axis=1) > 200).any()


@pytest.mark.usefixtures("open_track")
def test_a_picture_of_another_kind_than_is_drawn_is_refused(run: Run, tmp_path: Path) -> None:
    result = run("explain", "gate/4", "--picture", str(tmp_path / "why.svg"))
    assert result.exit_code == 2
    assert "a PNG is drawn" in result.stderr
    assert not list(tmp_path.glob("why*"))


def test_an_event_of_no_track_is_told_too(counted: Counted) -> None:
    told = counted.json("explain", "door/1")
    assert told["type"] == "streamer.camera.state.v1"
    assert "track" not in told
    assert "about no single track" in counted.daemon.cli("explain", "door/1").stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("gate",), "ids look like NODE/CAMERA/LINEAGE/SEQ"),
        (("gate/x",), "ids look like"),
        (("1795003200000-1",), "--camera"),
        (("yard/1",), "no camera 'yard' (it has gate)"),
        (("gate/7",), "there is no event 7; its last is 4"),
        (("gate/0",), "there is no event 0"),
        (("1-2", "--camera", "gate"), "is of lineage"),
        (("other-node/gate/1795003200000/1",), "of node other-node"),
    ],
)
@pytest.mark.usefixtures("open_track")
def test_an_unknown_id_is_refused_in_one_line(run: Run, args: tuple[str, ...], says: str) -> None:
    result = run("explain", *args)
    assert result.exit_code == Exit.CONFIG
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert says in result.stderr


@pytest.fixture
def open_track(store: ConfigStore) -> None:
    """Track 5 was counted twice on the line and is still there; revision 1 is kept, revision 2 is not."""
    path = store.load().state_path / LEDGER_FILE
    ledger = Ledger(path, "node-1", max_bytes=1 << 26, retention_days=9999, now_ns=lambda: NOON_NS)
    line = {"name": "door", "points": [[0.1, 0.5], [0.9, 0.5]]}
    ledger.record_config(1, json.dumps({"cameras": [{"name": "gate", "rules": {"lines": [line]}}]}))

    def crossing(seq: int, rev: int, track_id: int = 5) -> EventRecord:
        data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": track_id}
        at_ns = NOON_NS + seq * 1_000_000_000
        return EventRecord(
            "gate", seq, "streamer.line.crossed.v1", "door", 1, seq, at_ns, at_ns, 3.0, rev, data
        )

    ledger.commit([crossing(1, 1), crossing(2, 1), crossing(3, 1, track_id=6), crossing(4, 2)])
    ledger.close()


@pytest.mark.usefixtures("open_track")
def test_a_track_that_has_not_ended_is_said_to_be_open_and_its_repeat_is_told(run: Run) -> None:
    told = json.loads(run("explain", "gate/1", "--json").stdout)
    assert told["track"]["state"] == "still open"
    assert [(m["kind"], m["event"]) for m in told["nearly"]] == [("repeat", "gate/2"), ("repeat", "gate/4")]
    assert "1.0 s later" in run("explain", "gate/1").stdout


@pytest.mark.usefixtures("open_track")
def test_a_revision_that_is_not_kept_is_said_to_be_missing(run: Run) -> None:
    assert "the ledger does not have configuration revision 2" in run("explain", "gate/4").stdout


@pytest.mark.usefixtures("open_track")
def test_an_event_past_its_retention_is_said_to_be_so(run: Run, store: ConfigStore) -> None:
    path = store.load().state_path / LEDGER_FILE
    late_ns = NOON_NS + 86_400_000_000_000
    ledger = Ledger(
        path, "node-1", max_bytes=1 << 26, retention_days=1.0, now_ns=lambda: late_ns + 2_000_000_000
    )
    ledger.mark({"gate": 4})
    ledger.tick()
    ledger.close()
    result = run("explain", "gate/1")
    assert "past its retention; the oldest that is kept is 2" in result.stderr
