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
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from streamer.cli.main import cli
from streamer.config.schema import LEDGER_FILE
from streamer.events.cloudevents import EventId
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger, LedgerReader, high_water, recovery
from tests.faults.delivery_rig import NODE, Rig

pytestmark = pytest.mark.integration
CAMERAS = ("gate", "yard")
EVENTS = 40  # of each camera
FLIPS = 40
CUTS = 8
SCHEMA_COPY = f"{LEDGER_FILE}.schema"
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
    beside = (f"{LEDGER_FILE}.high-water", SCHEMA_COPY)
    in_wal = taken(path, (LEDGER_FILE, f"{LEDGER_FILE}-wal", *beside))
    ledger.close()
    return in_wal, taken(path, (LEDGER_FILE, *beside))


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
    copies: tuple[Copy, Copy],
    tmp_path: Path,
    damage: Callable[[bytes, int, int], Iterator[tuple[Damaged, bytes]]],
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


@pytest.mark.parametrize("copied", [True, False])
def test_the_header_and_the_schema_cost_no_event(
    copies: tuple[Copy, Copy], tmp_path: Path, copied: bool
) -> None:
    """They are alike in all ledgers, with a copy or without; without them SQLite reads nothing at all."""
    _, copy = copies
    if not copied:
        copy = copy._replace(files={name: each for name, each in copy.files.items() if name != SCHEMA_COPY})
    whole = copy.files[LEDGER_FILE]
    words = whole.index(b"CREATE TABLE lineage_starts")
    places = [*flips(whole, 1, 6, 0, 20), *flips(whole, 2, 6, words, words + 60)]
    for what, content in places:
        assert not assert_survived(copy.put(tmp_path / "ledger", LEDGER_FILE, content), copy, what), what


def schema_pages(copy: Copy) -> list[int]:
    """Numbers of the pages that hold the schema: the first, and those that it leads to."""
    whole = copy.files[LEDGER_FILE]
    assert whole[100] == 5, "the schema fits one page: these tests are for one that does not"
    return [1, *(int.from_bytes(whole[at : at + 4], "big") for at in (*cells(whole), 108))]


def cells(content: bytes) -> list[int]:
    """Where the cells of the first page are, each of which begins with the number of a page."""
    places = range(112, 112 + 2 * cell_count(content, 100), 2)
    return [int.from_bytes(content[at : at + 2], "big") for at in places]


def cell_count(content: bytes, header: int) -> int:
    return int.from_bytes(content[header + 3 : header + 5], "big")


def pointers(copy: Copy) -> Iterator[int]:
    """Where the header and the cells' pointers of each page of the schema lie, and the cells of the first."""
    whole = copy.files[LEDGER_FILE]
    for page in schema_pages(copy):
        begin = (page - 1) * 4096 + (100 if page == 1 else 0)
        header = 12 if whole[begin] == 5 else 8
        yield from range(begin, begin + header + 2 * cell_count(whole, begin))
    yield from range(min(cells(whole)), 4096)


def test_no_byte_of_what_leads_to_the_schema_costs_anything(
    copies: tuple[Copy, Copy], tmp_path: Path
) -> None:
    _, copy = copies
    whole = copy.files[LEDGER_FILE]
    chance = random.Random(20)
    offsets = sorted(set(pointers(copy)))
    assert len(offsets) > 50
    for number, offset in enumerate(offsets):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << chance.randrange(8)
        path = copy.put(tmp_path / "ledger", LEDGER_FILE, bytes(flipped))
        if number % 8 == 0:  # as the delivery worker opens it; the others as its first step does
            assert not assert_survived(path, copy, ("flip", offset)), offset
            continue
        assert "its schema, which is put back" in recovery.check_and_salvage(path, 1), offset
        assert path.read_bytes() == whole, offset


@pytest.mark.parametrize("page", [0, 1, 2])
def test_a_page_of_the_schema_that_is_lost_as_a_whole_costs_no_event(
    copies: tuple[Copy, Copy], tmp_path: Path, page: int
) -> None:
    _, copy = copies
    begin = (schema_pages(copy)[page] - 1) * 4096
    lost = bytearray(copy.files[LEDGER_FILE])
    lost[begin + (100 if page == 0 else 0) : begin + 4096] = bytes(4096 - (100 if page == 0 else 0))
    path = copy.put(tmp_path / "ledger", LEDGER_FILE, bytes(lost))
    assert not assert_survived(path, copy, ("page", begin))


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "flipped"])
def test_a_copy_of_the_schema_that_is_lost_or_damaged_does_no_harm_and_is_made_anew(
    copies: tuple[Copy, Copy], tmp_path: Path, how: str
) -> None:
    _, copy = copies
    whole = copy.files[SCHEMA_COPY]
    flipped = bytes([*whole[:600], whole[600] ^ 4, *whole[601:]])
    bad = {"gone": b"", "empty": b"", "cut": whole[: len(whole) // 2], "flipped": flipped}[how]
    path = copy.put(tmp_path / "ledger", SCHEMA_COPY, bad)
    if how == "gone":
        (path.parent / SCHEMA_COPY).unlink()
    damage, now = go_on(path)
    assert (damage, copy.rows.items() <= now.items()) == ("", True)
    content = bytearray(path.read_bytes())
    content[103] ^= 1  # and the new one serves as the first did
    path.write_bytes(content)
    damage, now = go_on(path)
    assert ("its schema, which is put back" in damage, copy.rows.items() <= now.items()) == (True, True)


@pytest.mark.parametrize("how", ["another ledger's", "of before a VACUUM", "older", "newer"])
def test_a_copy_of_the_schema_of_another_file_or_time_is_not_put_into_this_one(
    copies: tuple[Copy, Copy], tmp_path: Path, how: str
) -> None:
    _, copy = copies
    path = copy.put(tmp_path / "ledger", LEDGER_FILE, copy.files[LEDGER_FILE])
    if how == "another ledger's":
        open_ledger(tmp_path / "other" / LEDGER_FILE).close()
        shutil.copy(tmp_path / "other" / SCHEMA_COPY, path.parent)
    else:
        with closing(sqlite3.connect(path)) as db:
            db.execute("VACUUM")  # the tables begin at other pages
    if how in ("older", "newer"):
        open_ledger(path).close()
        older = {"older": SCHEMA_COPY, "newer": LEDGER_FILE}[how]
        (path.parent / older).write_bytes(copy.files[older])
    damage, now = go_on(path)
    assert (damage, copy.rows.items() <= now.items()) == ("", True)


@pytest.mark.parametrize("bit", range(0, 63, 7))
def test_a_bit_of_an_event_s_digest_costs_no_event(
    copies: tuple[Copy, Copy], tmp_path: Path, bit: int
) -> None:
    _, copy = copies
    path = copy.put(tmp_path / "ledger", LEDGER_FILE, copy.files[LEDGER_FILE])
    with closing(sqlite3.connect(path)) as db, db:
        (stored,) = db.execute("SELECT digest FROM digests WHERE event=5").fetchone()
        db.execute("UPDATE digests SET digest=? WHERE event=5", (stored ^ 1 << bit,))
    assert not assert_survived(path, copy, ("digest", bit))


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
