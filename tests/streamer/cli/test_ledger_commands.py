"""`streamer ledger verify`, `export` and `prune`, on a ledger that no daemon writes."""

from __future__ import annotations

import csv
import json
import sqlite3
import stat
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from streamer.cli.main import cli
from streamer.errors import Exit
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger

NS_PER_DAY = 86_400_000_000_000
BEGIN_NS = 20_000 * NS_PER_DAY  # 2024-10-04


def crossing(camera: str, seq: int, at_ns: int) -> EventRecord:
    data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": seq}
    return EventRecord(camera, seq, "streamer.line.crossed.v1", "door", 1, seq, seq, at_ns, 1.0, 1, data)


class Site:
    """Of two cameras: gate with an event a day over ten days, yard with one."""

    def __init__(self, base: Path) -> None:
        self.base, self.ledger = base, base / "state" / "ledger.sqlite"
        (base / "cfg" / "cameras.d").mkdir(parents=True)
        folders = {"state_dir": str(base / "state"), "runtime_dir": str(base / "run")}
        (base / "cfg" / "streamer.yaml").write_text(yaml.safe_dump(folders))
        ledger = Ledger(self.ledger, "node-1", max_bytes=64 << 20, retention_days=1e6)
        ledger.commit([crossing("gate", 1 + day, BEGIN_NS + day * NS_PER_DAY) for day in range(10)])
        ledger.commit([crossing("yard", 1, BEGIN_NS + 5 * NS_PER_DAY)])
        ledger.mark({})
        ledger.close()

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(cli, ["--config", str(self.base / "cfg"), "ledger", *args])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_sound_ledger_is_said_to_be_and_a_changed_one_ends_in_storage(site: Site) -> None:
    sound = site.run("verify")
    assert (sound.exit_code, "sound" in sound.output) == (0, True)
    with sqlite3.connect(site.ledger) as db:
        db.execute("DELETE FROM events WHERE camera=1 AND seq=4")
    db.close()
    damaged = site.run("verify")
    assert "gate: event 4 is missing" in damaged.output
    assert damaged.exit_code == Exit.STORAGE
    document = json.loads(site.run("verify", "--json").stdout)
    assert document["findings"][0] == {"camera": "gate", "text": "event 4 is missing"}


def test_events_of_a_span_and_a_camera_are_exported_as_subscribers_get_them(site: Site) -> None:
    done = site.run("export", "--camera", "gate", "--since", "2024-10-06", "--until", "2024-10-09")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["data"]["seq"] for event in events] == [3, 4, 5]
    assert all(event["specversion"] == "1.0" for event in events)


def test_a_table_is_written_whole_for_its_user_alone_and_over_no_file(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "events.csv"
    done = site.run("export", "--format", "csv", "-o", str(target), "--json")
    assert json.loads(done.stdout) == {"path": str(target), "events": 11, "format": "csv"}
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [row["seq"] for row in rows if row["camera"] == "yard"] == ["1"]
    assert json.loads(rows[0]["data"])["line"] == rows[0]["line"] == "door"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    before = target.read_bytes()
    assert site.run("export", "-o", str(target)).exit_code != 0
    assert target.read_bytes() == before


def test_a_pruning_says_first_what_would_go(site: Site) -> None:
    assert "7 events would go" in site.run("prune", "--older-than", "2024-10-10", "--dry-run").output
    assert "7 events are gone" in site.run("prune", "--older-than", "2024-10-10").output
    left = [json.loads(line)["data"]["seq"] for line in site.run("export").stdout.splitlines()]
    assert left == [7, 8, 9, 10]
    assert "pruned so far: 7 by `streamer ledger prune`" in site.run("status").output


def test_a_command_goes_by_its_older_name_too(site: Site) -> None:
    assert "incarnation" in site.run("new-lineage").output


def test_a_sink_that_there_is_not_is_refused_with_those_that_there_are(site: Site) -> None:
    refused = site.run("replay", "kafka")
    assert refused.exit_code == Exit.CONFIG
    assert "known: redis" in refused.stderr
