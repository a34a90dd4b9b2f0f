"""Case 12: the ledger or its WAL cut off, or a byte of it flipped. What was committed before the damage
survives, the damage is told, the daemon goes on, and no number is given out a second time.

The ledger is a real one, of many small commits; each damage is done to a copy of it as a loss of power left
it, and opened as the delivery worker opens it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from streamer.cli.main import cli
from streamer.daemon.assignments import LEDGER_FILE
from streamer.events.cloudevents import EventId
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger, LedgerReader, high_water, recovery
from tests.faults.delivery_rig import NODE, Rig

pytestmark = pytest.mark.integration
CAMERAS = ("gate", "yard")
EVENTS = 40  # of each camera
FLIPS = 40
CUTS = 8
Damaged = tuple[str, int]


def event(camera: str, seq: int) -> EventRecord:
    kind, data = (
        "streamer.line.crossed.v1",
        {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": seq},
    )
    if seq == 30:
        kind, data = "streamer.counts.v1", {"start_ns": 0, "end_ns": 60, "coverage": {"seen_s": 60.0}}
    return EventRecord(camera, seq, kind, "door", 1, seq, seq, 1_700_000_000_000_000_000 + seq, 1.0, 1, data)


def open_ledger(path: Path) -> Ledger:
    ledger = Ledger(path, NODE, max_bytes=64 << 20, retention_days=36500.0)
    ledger.replace_sinks(["redis"])
    return ledger


Rows = dict[tuple[str, int], tuple[EventId, str]]


def rows(path: Path) -> Rows:
    """(id, body) of each event, by camera and number."""
    reader = LedgerReader(path)
    try:
        events = [e for camera in CAMERAS for e in reader.after(camera, None, 1000)]
    finally:
        reader.close()
    return {(e.camera, e.id.seq): (e.id, e.body) for e in events}


class Copy(NamedTuple):
    """A ledger's files as they were, and what was in them."""

    files: dict[str, bytes]
    rows: Rows
    totals: dict[str, int]

    def put(self, folder: Path, name: str, content: bytes) -> Path:
        """Write the files into an empty `folder`, `content` in the place of the one `name`; the ledger."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for other, whole in {**self.files, name: content}.items():
            (folder / other).write_bytes(whole)
        return folder / LEDGER_FILE


def taken(ledger: Path, kept: tuple[str, ...]) -> Copy:
    reader = LedgerReader(ledger)
    totals = reader.totals("gate")
    reader.close()
    return Copy({name: (ledger.parent / name).read_bytes() for name in kept}, rows(ledger), totals)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Copy, Copy]:
    """All in the WAL still, and all written back into the file."""
    path = tmp_path_factory.mktemp("whole") / LEDGER_FILE
    ledger = open_ledger(path)
    ledger.record_config(1, '{"cameras": []}')
    for seq in range(1, EVENTS + 1):
        for camera in CAMERAS:
            ledger.commit([event(camera, seq)])
    ledger.mark({"redis": {"gate": 20, "yard": 10}})
    mark = f"{LEDGER_FILE}.high-water"
    in_wal = taken(path, (LEDGER_FILE, f"{LEDGER_FILE}-wal", mark))
    ledger.close()
    return in_wal, taken(path, (LEDGER_FILE, mark))


def go_on(path: Path) -> tuple[str, Rows]:
    """Open the ledger as the delivery worker does, take one more event of each camera; what was told."""
    ledger = open_ledger(path)
    try:
        for camera in CAMERAS:
            ledger.resume(camera)
            ledger.commit([event(camera, ledger.last_seq(camera) + 1)])
        assert ("damage" in ledger.status()) == bool(ledger.damage)
        return ledger.damage, rows(path)
    finally:
        ledger.close()


def assert_survived(path: Path, before: Copy, what: Damaged) -> Rows:
    """Return what is lost."""
    damage, now = go_on(path)
    lost = {key: row for key, row in before.rows.items() if key not in now}
    assert bool(lost) <= bool(damage), f"{what}: {sorted(lost)} lost without a word"
    assert {key for key in before.rows if key in now and now[key] != before.rows[key]} == set(), what
    for camera in CAMERAS:
        newest = max(place for (name, _), (place, _) in before.rows.items() if name == camera)
        added = max(place for (name, _), (place, _) in now.items() if name == camera)
        assert added > newest, f"{what}: {camera} would go on with {added}, and Redis holds {newest}"
        assert added.seq > newest.seq, what
    assert recovery.fault(path) == "", what
    return lost


def flips(
    content: bytes, seed: int, count: int, first: int = 0, end: int | None = None
) -> Iterator[tuple[Damaged, bytes]]:
    chance = random.Random(seed)
    for offset in sorted(chance.sample(range(first, end or len(content)), count)):
        flipped = bytearray(content)
        flipped[offset] ^= 1 << chance.randrange(8)
        yield ("flip", offset), bytes(flipped)


def cuts(content: bytes, seed: int, count: int) -> Iterator[tuple[Damaged, bytes]]:
    for offset in sorted(random.Random(seed).sample(range(len(content)), count)):
        yield ("cut", offset), content[:offset]


def test_a_byte_flipped_anywhere_in_the_file_changes_no_event_that_is_kept(
    copies: tuple[Copy, Copy], tmp_path: Path
) -> None:
    _, copy = copies
    for what, content in flips(copy.files[LEDGER_FILE], 12, FLIPS):
        lost = assert_survived(copy.put(tmp_path / "ledger", LEDGER_FILE, content), copy, what)
        assert len(lost) <= 20, f"{what}: more than a page of events: {sorted(lost)}"


def test_a_file_that_was_cut_off_anywhere_is_told_and_goes_on(
    copies: tuple[Copy, Copy], tmp_path: Path
) -> None:
    _, copy = copies
    for what, content in cuts(copy.files[LEDGER_FILE], 13, CUTS):
        path = copy.put(tmp_path / "ledger", LEDGER_FILE, content)
        assert_survived(path, copy, what)
        assert len(rows(path)) >= 2


@pytest.mark.parametrize("damage", [flips, cuts])
def test_a_damaged_wal_loses_nothing_that_was_committed_before_the_damage(
    copies: tuple[Copy, Copy], tmp_path: Path, damage: type[flips]
) -> None:
    copy, _ = copies
    name = f"{LEDGER_FILE}-wal"
    whole = copy.files[name]
    for what, content in damage(whole, 14, CUTS):
        lost = assert_survived(copy.put(tmp_path / "ledger", name, content), copy, what)
        for camera in CAMERAS:  # a prefix survives: nothing is lost before something that is kept
            numbers = sorted(seq for owner, seq in lost if owner == camera)
            assert numbers == list(range(EVENTS + 1 - len(numbers), EVENTS + 1)), what
        share = what[1] / len(whole)  # each commit took its share of the WAL
        assert len(lost) <= (1 - share) * len(copy.rows) + 12, f"{what}: lost before the damage"


def test_the_header_and_the_schema_cost_no_event(copies: tuple[Copy, Copy], tmp_path: Path) -> None:
    """They are alike in all ledgers; without them SQLite reads nothing at all."""
    _, copy = copies
    whole = copy.files[LEDGER_FILE]
    words = whole.index(b"CREATE TABLE lineage_starts")
    places = [*flips(whole, 1, 6, 0, 20), *flips(whole, 2, 6, words, words + 60)]
    for what, content in places:
        assert not assert_survived(copy.put(tmp_path / "ledger", LEDGER_FILE, content), copy, what), what


def test_a_total_that_was_flipped_is_put_right_by_its_events_and_minutes(
    copies: tuple[Copy, Copy], tmp_path: Path
) -> None:
    _, copy = copies
    path = copy.put(tmp_path / "ledger", LEDGER_FILE, copy.files[LEDGER_FILE])
    db = sqlite3.connect(path)
    db.execute("UPDATE totals SET value=value+1048576")
    db.commit()
    db.close()
    ledger = open_ledger(path)
    assert "the total of line/door/in/1/person is" in ledger.damage
    ledger.close()
    reader = LedgerReader(path)
    assert reader.totals("gate") == copy.totals == {"line/door/in/1/person": EVENTS - 1}
    reader.close()


@pytest.mark.parametrize("how", ["emptied", "gone", "older"])
def test_numbers_go_on_where_the_whole_file_is_lost_or_an_older_copy_is_in_its_place(
    copies: tuple[Copy, Copy], tmp_path: Path, how: str
) -> None:
    _, copy = copies
    path = copy.put(tmp_path / "ledger", LEDGER_FILE, b"")
    if how == "gone":
        path.unlink()
    if how == "older":  # as a backup made after the first three commits
        (tmp_path / "old").mkdir()
        older = open_ledger(tmp_path / "old" / LEDGER_FILE)
        older.commit([event("gate", seq) for seq in (1, 2, 3)])
        older.close()
        shutil.copy(tmp_path / "old" / LEDGER_FILE, path)
        db = sqlite3.connect(path)
        mark = high_water.read(path)
        assert mark is not None
        db.execute("UPDATE lineages SET lineage=?", (mark.lineage,))
        db.commit()
        db.close()
    damage, now = go_on(path)
    assert "ended early" in damage
    for camera in CAMERAS:
        newest = max(place for (name, _), (place, _) in copy.rows.items() if name == camera)
        added = max(place for (name, _), (place, _) in now.items() if name == camera)
        assert (added.lineage > newest.lineage, added.seq) == (True, EVENTS + 1)


def test_after_a_torn_wal_redis_refuses_nothing_and_lacks_nothing_new(
    short_dir: Path,
    redis_binary: str,  # noqa: ARG001
) -> None:
    rig = Rig(short_dir)
    try:
        rig.start_redis()
        rig.start_delivery()
        rig.resume()
        for _ in range(50):
            rig.count("gate")
            rig.count("yard")
            rig.pump(0.002)
        rig.settle()
        rig.kill_delivery()
        wal = Path(f"{rig.ledger_path}-wal")
        os.truncate(wal, wal.stat().st_size // 2)
        before = {camera: rig.entries(camera) for camera in CAMERAS}
        rig.start_delivery()
        for _ in range(10):
            rig.count("gate")
            rig.count("yard")
        rig.settle()
        assert all(rig.in_redis(camera) == list(range(1, 61)) for camera in CAMERAS)
        assert all(rig.entries(camera)[:50] == before[camera] for camera in CAMERAS)
        assert rig.entries("gate")[50][0].lineage > before["gate"][-1][0].lineage
        assert len(rig.in_ledger("gate")) < 60
        rig.until(lambda: "ended early" in rig.status["ledger"].get("damage", ""))
        assert rig.status["sinks"]["redis"]["blocked"] == {}
    finally:
        rig.close()


def test_damage_is_told_by_ledger_status_and_doctor_also_after_another_start(
    copies: tuple[Copy, Copy], tmp_path: Path
) -> None:
    _, copy = copies
    whole = bytearray(copy.files[LEDGER_FILE])
    whole[whole.index(b'"track_id":7')] ^= 1
    config = tmp_path / "cfg"
    (config / "cameras.d").mkdir(parents=True)
    path = copy.put(tmp_path / "state", LEDGER_FILE, bytes(whole))
    text = f"state_dir: {path.parent}\nruntime_dir: {tmp_path / 'run'}\n"
    (config / "streamer.yaml").write_text(text)
    for _ in range(2):
        open_ledger(path).close()
    status = CliRunner().invoke(cli, ["--config", str(config), "ledger", "status"])
    assert "was damaged" in status.output
    assert "1 lost" in status.output
    doctor = CliRunner().invoke(cli, ["--config", str(config), "doctor", "--json"])
    (found,) = [check for check in json.loads(doctor.output)["checks"] if check["name"] == "ledger"]
    assert (found["level"], "was damaged" in found["text"]) == ("warn", True)
