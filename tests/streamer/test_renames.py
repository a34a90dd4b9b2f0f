"""What is renamed keeps its past: cameras, lines and zones, in the configuration and in the ledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamer.api.apply_change import apply_change
from streamer.api.callers import Caller
from streamer.api.tokens import TokenStore
from streamer.config.past_names import RENAMES_FILE, read_renames
from streamer.config.store import ConfigStore, revise
from streamer.errors import ConfigError, StorageError
from streamer.events.cloudevents import EventId
from streamer.ipc.messages import EventRecord
from streamer.ipc.rename import Rename
from streamer.ledger import Ledger, LedgerReader, schema
from streamer.ledger.event_feed import EventFeed, EventFilter
from streamer.ledger.revisions import prune_totals
from streamer.ledger.verification import verify
from tests.daemon import Daemon
from tests.patience import patient

MINUTE_NS = 60_000_000_000
BEGIN_NS = 1_700_000_100_000_000_000 // (15 * MINUTE_NS) * 15 * MINUTE_NS
DOOR = {"name": "door", "points": [[0.1, 0.5], [0.9, 0.5]]}


def crossing(
    camera: str, seq: int, rev: int, minute: int, line: str = "door", rule_rev: int = 1
) -> EventRecord:
    at_ns = BEGIN_NS + minute * MINUTE_NS
    data = {"line": line, "direction": "in", "class": "person", "rule_rev": rule_rev, "track_id": seq}
    return EventRecord(camera, seq, "streamer.line.crossed.v1", line, 1, seq, seq, at_ns, 1.0, rev, data)


def bucket(camera: str, seq: int, rev: int, minute: int) -> EventRecord:
    start_ns, end_ns = BEGIN_NS + minute * MINUTE_NS, BEGIN_NS + (minute + 1) * MINUTE_NS
    data = {"start_ns": start_ns, "end_ns": end_ns, "coverage": {"seen_s": 60.0}, "lines": {}, "zones": {}}
    return EventRecord(camera, seq, "streamer.counts.v1", camera, 1, -1, 0, end_ns, 0.0, rev, data)


def camera_rename(rev: int, old: str, new: str, minute: int) -> Rename:
    return Rename(rev, "camera", old, old, new, BEGIN_NS + minute * MINUTE_NS)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.sqlite", "n", max_bytes=64 << 20, retention_days=36500)) as made:
        yield made


@pytest.fixture
def renamed(ledger: Ledger) -> Ledger:
    """`gate` counted 3, became `entrance` (revision 5), which counted 2; another `gate` (6) has counted 1."""
    ledger.commit([crossing("gate", n, 1, n) for n in (1, 2, 3)] + [bucket("gate", 4, 5, 3)])
    ledger.record_renames([camera_rename(5, "gate", "entrance", 20)])
    ledger.commit([crossing("entrance", n, 5, 40 + n) for n in (1, 2)] + [bucket("entrance", 3, 5, 43)])
    ledger.commit([crossing("gate", 5, 6, 44, rule_rev=6), bucket("gate", 6, 6, 45)])
    return ledger


def counted(ledger: Ledger, camera: str | None = None) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    with closing(LedgerReader(ledger.path)) as reader:
        for count in reader.counts(camera=camera):
            sums[count.camera, count.name] = sums.get((count.camera, count.name), 0) + count.n
    return sums


def numbers(ledger: Ledger, camera: str) -> list[tuple[str, int]]:
    with closing(LedgerReader(ledger.path)) as reader:
        return [(e.camera, e.id.seq) for e in reader.last_events(100, camera)]


def test_counts_of_the_old_name_are_of_the_new_one_and_not_of_who_has_it_later(renamed: Ledger) -> None:
    assert counted(renamed, "entrance") == {("entrance", "door"): 5}
    assert counted(renamed, "gate") == {("gate", "door"): 1}
    assert counted(renamed) == {("entrance", "door"): 5, ("gate", "door"): 1}


def test_counts_by_quarters_follow_as_those_by_minutes_do(renamed: Ledger) -> None:
    from streamer.ledger.quarter_sums import Span

    with closing(LedgerReader(renamed.path)) as reader:
        first, end = reader.quarters() or (0, 0)
        found = list(reader.counts_by([Span(first, end, 0, 0)], first * 900, end * 900, "entrance"))
        seen = list(
            reader.coverage_by([Span(first, end, 0, 0)], first * 900 * 10**9, end * 900 * 10**9, None)
        )
    assert sum(count.n for count in found) == 5
    assert {bucket.camera for bucket in seen} == {"entrance", "gate"}
    assert sum(b.seconds["seen_s"] for b in seen if b.camera == "entrance") == 120
    assert sum(b.seconds["seen_s"] for b in seen if b.camera == "gate") == 60


def test_events_keep_their_names_and_numbers_and_are_found_by_the_new_name(renamed: Ledger) -> None:
    old = [("gate", seq) for seq in (1, 2, 3, 4)]
    assert numbers(renamed, "entrance") == [*old, *(("entrance", seq) for seq in (1, 2, 3))]
    assert numbers(renamed, "gate") == [("gate", 5), ("gate", 6)]
    with closing(EventFeed(renamed.path)) as feed:
        page = feed.page(0, EventFilter(frozenset({"gate"})), 100)
    assert [(event.camera, event.id.seq) for event in page.events] == [("gate", 5), ("gate", 6)]


def test_running_totals_go_on_under_the_new_name_alone(renamed: Ledger) -> None:
    with closing(LedgerReader(renamed.path)) as reader:
        assert reader.totals("entrance") == {"line/door/in/1/person": 5}
        assert reader.totals("gate") == {"line/door/in/6/person": 1}
        assert reader.totals_at("entrance", None) == {"line/door/in/1/person": 3}


def test_what_the_old_name_still_tells_counts_in_the_total_of_the_new_one(renamed: Ledger) -> None:
    renamed.commit([crossing("gate", 7, 5, 46)])
    with closing(LedgerReader(renamed.path)) as reader:
        assert reader.totals("entrance") == {"line/door/in/1/person": 6}


def test_a_rename_is_kept_once_however_often_it_is_told(renamed: Ledger) -> None:
    assert not renamed.record_renames([camera_rename(5, "gate", "entrance", 20)])
    assert counted(renamed, "entrance") == {("entrance", "door"): 5}


def test_a_chain_of_names_is_followed_to_its_end_and_back_again(renamed: Ledger) -> None:
    renamed.record_renames([camera_rename(8, "entrance", "lobby", 60)])
    assert counted(renamed, "lobby") == {("lobby", "door"): 5}
    renamed.record_renames([camera_rename(9, "lobby", "entrance", 70)])
    assert counted(renamed, "entrance") == {("entrance", "door"): 5}
    assert counted(renamed, "lobby") == {}


def test_a_line_s_counts_go_with_its_name_also_over_a_later_rename_of_its_camera(renamed: Ledger) -> None:
    renamed.record_renames([Rename(7, "line", "entrance", "door", "left door", BEGIN_NS + 50 * MINUTE_NS)])
    assert counted(renamed) == {("entrance", "left door"): 5, ("gate", "door"): 1}
    renamed.commit([crossing("entrance", 4, 9, 55, "door", rule_rev=9)])
    assert counted(renamed, "entrance") == {("entrance", "left door"): 5, ("entrance", "door"): 1}
    renamed.record_renames([camera_rename(10, "entrance", "lobby", 60)])
    assert counted(renamed, "lobby") == {("lobby", "left door"): 5, ("lobby", "door"): 1}


def test_a_ledger_with_renames_is_found_sound(renamed: Ledger) -> None:
    """But for the buckets, which say nothing of crossings here."""
    assert [f.text for f in verify(renamed.path).findings if not f.text.startswith("bucket")] == []


def test_a_ledger_of_the_version_before_takes_renames(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(Ledger(path, "n", max_bytes=64 << 20, retention_days=36500)) as ledger:
        ledger.commit([crossing("gate", n, 1, n) for n in (1, 2, 3)])
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE renames")
        db.execute(f"PRAGMA user_version={schema.SCHEMA_VERSION - 1}")
        db.commit()
    with closing(Ledger(path, "n", max_bytes=64 << 20, retention_days=36500)) as ledger:
        ledger.record_renames([camera_rename(5, "gate", "entrance", 20)])
        assert counted(ledger, "entrance") == {("entrance", "door"): 3}


# ---- the configuration


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    folder = tmp_path / "config"
    folder.mkdir()
    (tmp_path / "state").mkdir()
    (folder / "streamer.yaml").write_text(f"state_dir: {tmp_path}/state\n")
    store = ConfigStore(folder)
    rules = {"lines": [DOOR], "alerts": [{"name": "in", "line": "door"}]}
    camera = {"name": "gate", "url": "synthetic:street", "rules": rules}
    apply_change(store, {"op": "camera.put", "camera": camera})
    return store


def revs(store: ConfigStore) -> tuple[int, dict[str, int]]:
    config, rev = revise(store.load(), store.settings().state_path)
    return rev, {f"{c.name}/{line.name}": line.rev for c in config.cameras for line in c.rules.lines}


def test_a_rename_moves_no_line_s_revision(store: ConfigStore) -> None:
    assert revs(store) == (1, {"gate/door": 1})
    caller = Caller(0)
    apply_change(store, {"op": "camera.rename", "name": "gate", "to": "entrance"}, caller)
    assert revs(store) == (2, {"entrance/door": 1})
    apply_change(store, {"op": "line.rename", "camera": "entrance", "name": "door", "to": "in"}, caller)
    assert revs(store) == (3, {"entrance/in": 1})
    known = [rename[:5] for rename in read_renames(store.settings().state_path)]
    assert known == [(2, "camera", "gate", "gate", "entrance"), (3, "line", "entrance", "door", "in")]


def test_without_a_daemon_who_takes_the_old_name_at_once_has_a_later_revision(store: ConfigStore) -> None:
    revs(store)
    apply_change(store, {"op": "camera.rename", "name": "gate", "to": "entrance"})
    (rename,) = read_renames(store.settings().state_path)
    camera = {"name": "gate", "url": "synthetic:street", "rules": {"lines": [DOOR]}}
    apply_change(store, {"op": "camera.put", "camera": camera})
    rev, lines = revs(store)
    assert lines == {"entrance/door": 1, "gate/door": rev}
    assert rev > rename.rev


def test_what_rests_on_a_line_follows_its_new_name(store: ConfigStore) -> None:
    apply_change(store, {"op": "line.rename", "camera": "gate", "name": "door", "to": "in"})
    (camera,) = store.load().cameras
    assert [alert.line for alert in camera.rules.alerts] == ["in"]


@pytest.mark.parametrize(
    ("name", "to", "text"),
    [("wall", "in", "no line 'wall'; known: door"), ("door", "door", "exists"), ("door", "a/b", "name")],
)
def test_a_line_is_not_renamed_to_what_cannot_be(store: ConfigStore, name: str, to: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        apply_change(store, {"op": "line.rename", "camera": "gate", "name": name, "to": to})
    assert not (store.settings().state_path / RENAMES_FILE).exists()


def test_a_damaged_file_of_renames_is_said_and_stops_nothing(
    store: ConfigStore, caplog: pytest.LogCaptureFixture
) -> None:
    (store.settings().state_path / RENAMES_FILE).write_text("[[1]]")
    assert read_renames(store.settings().state_path) == ()
    assert "damaged" in caplog.text


# ---- a name that was there before


def past_of(store: ConfigStore, name: str) -> None:
    config = store.settings()
    with closing(Ledger(config.ledger_path, "n", max_bytes=64 << 20, retention_days=36500)) as ledger:
        ledger.commit([crossing(name, n, 1, n) for n in (1, 2, 3)])


def rename(store: ConfigStore, name: str, to: str, **more: Any) -> None:
    apply_change(store, {"op": "camera.rename", "name": name, "to": to, **more})


def test_a_name_that_counted_before_is_refused_unless_both_are_to_be_one(store: ConfigStore) -> None:
    past_of(store, "yard")
    with pytest.raises(ConfigError, match=r"'yard' was there before.*another name.*--merge") as caught:
        rename(store, "gate", "yard")
    assert "\n" not in str(caught.value)
    assert [camera.name for camera in store.load().cameras] == ["gate"]
    assert read_renames(store.settings().state_path) == ()
    rename(store, "gate", "yard", merge=True)
    assert [camera.name for camera in store.load().cameras] == ["yard"]


def test_what_is_kept_by_quarters_alone_is_a_past_too(store: ConfigStore) -> None:
    past_of(store, "yard")
    with closing(sqlite3.connect(store.settings().ledger_path)) as db:
        for table in ("events", "totals", "rollups", "tallies"):
            db.execute(f"DELETE FROM {table}")
        db.commit()
    with pytest.raises(ConfigError, match="was there before"):
        rename(store, "gate", "yard")


def test_a_name_whose_past_went_along_with_its_camera_is_free_also_before_a_daemon_ran(
    store: ConfigStore,
) -> None:
    past_of(store, "gate")
    rename(store, "gate", "entrance")
    apply_change(store, {"op": "camera.put", "camera": {"name": "other", "url": "synthetic:street"}})
    rename(store, "other", "gate")
    with pytest.raises(ConfigError, match="'entrance' exists"):
        rename(store, "gate", "entrance")


def test_a_camera_gets_its_own_earlier_name_back(store: ConfigStore) -> None:
    past_of(store, "gate")
    rename(store, "gate", "entrance")
    rename(store, "entrance", "gate")
    assert [camera.name for camera in store.load().cameras] == ["gate"]


def test_tokens_follow_the_camera_and_nobody_else_s_do(store: ConfigStore) -> None:
    tokens = TokenStore(store.settings().state_path)
    for name, cameras in (("one", ("gate",)), ("two", ("gate", "yard", "entrance")), ("yard", ("yard",))):
        tokens.add(name, "viewer", cameras)
    tokens.add("all", "admin")
    rename(store, "gate", "entrance")
    found = {token.name: token.cameras for token in tokens.tokens()}
    assert found == {"one": ("entrance",), "two": ("entrance", "yard"), "yard": ("yard",), "all": None}
    assert tokens.path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_tokens_that_cannot_be_read_keeps_a_camera_from_being_renamed(store: ConfigStore) -> None:
    (store.settings().state_path / "tokens.json").write_text("{")
    with pytest.raises(StorageError, match="move it away"):
        rename(store, "gate", "entrance")
    assert [camera.name for camera in store.load().cameras] == ["gate"]


def test_totals_of_earlier_rules_stay_while_their_counts_do_under_a_new_name(ledger: Ledger) -> None:
    """The rule's counts by minute stand under the name that they were told under."""
    ledger.commit([crossing("gate", n, 1, n) for n in (1, 2, 3)])
    ledger.record_renames([camera_rename(5, "gate", "entrance", 20)])
    ledger.record_renames([Rename(6, "line", "entrance", "door", "left door", BEGIN_NS + 30 * MINUTE_NS)])
    rules = {"lines": [{"name": "left door", "rev": 7}]}  # it was moved, too
    ledger.record_config(7, json.dumps({"cameras": [{"name": "entrance", "rules": rules}]}))
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as db:
        prune_totals(db)
        with closing(LedgerReader(ledger.path)) as reader:
            assert reader.totals("entrance") == {"line/left door/in/1/person": 3}
        db.execute("DELETE FROM rollups")
        prune_totals(db)
        with closing(LedgerReader(ledger.path)) as reader:
            assert reader.totals("entrance") == {}


# ---- live


@pytest.mark.integration
def test_a_running_daemon_counts_on_under_new_names(short_dir: Path) -> None:
    line = {"name": "middle", "points": [[0.5, 0.0], [0.5, 1.0]]}
    camera: dict[str, Any] = {"name": "gate", "url": "synthetic:street", "rules": {"lines": [line]}}
    daemon = Daemon(short_dir, [camera], counts={"bucket_s": 10})
    daemon.start()
    try:
        daemon.wait_for_events("gate", is_crossing, patient(60))
        done = daemon.commands(
            ("line", "rename", "gate", "middle", "street"), ("camera", "rename", "gate", "entrance")
        )
        assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
        daemon.wait_for_events("entrance", is_crossing, patient(60))
        told = {name: sum(map(is_crossing, daemon.events(name))) for name in ("gate", "entrance")}
        counts = json.loads(daemon.cli("counts", "--camera", "entrance", "--json").stdout)["counts"]
        events = daemon.cli("events", "--camera", "entrance", "--last", "1000").stdout
        first = next(event for event in daemon.events("gate") if is_crossing(event))
        explained = daemon.cli("explain", first["id"])
    finally:
        daemon.stop()
    assert {row["name"] for row in counts} == {"street"}
    assert sum(row["count"] for row in counts) >= sum(told.values())
    assert " gate " in events
    assert " entrance " in events
    assert "middle" in explained.stdout, "as the rule was called then"


def is_crossing(event: dict[str, Any]) -> bool:
    return event["type"] == "streamer.line.crossed.v1"


def test_places_in_the_sequence_are_of_one_name(renamed: Ledger) -> None:
    """A sink is told each name's events apart: a number is never given twice."""
    with closing(LedgerReader(renamed.path)) as reader:
        assert [e.id.seq for e in reader.after("entrance", None, 10)] == [1, 2, 3]
        assert reader.after("gate", EventId(reader.lineage(), 4), 10)[0].id.seq == 5


# ---- journeys, which name cameras in streamer.yaml


def test_journeys_follow_a_camera_that_is_renamed(store: ConfigStore) -> None:
    text = store.file.read_text()
    apply_change(store, {"op": "camera.put", "camera": {"name": "yard", "url": "synthetic:street"}})
    store.file.write_text(
        text + "journeys: {cameras: [gate, yard], between: [{cameras: [gate, yard], max_s: 60}]}\n"
    )
    rename(store, "gate", "door")
    rename(store, "door", "entrance")
    for config in (store.load(), store.load_partly()[0], store.load_readable()[0]):
        assert config.journeys.cameras == ("entrance", "yard")
        assert [pair.cameras for pair in config.journeys.between] == [("entrance", "yard")]
        assert not any("journeys" in advice for advice in config.advice)
    assert "gate" in store.file.read_text()
    apply_change(store, {"op": "camera.put", "camera": {"name": "gate", "url": "synthetic:street"}})
    assert store.load().journeys.cameras == ("gate", "yard")


def test_journeys_stand_as_they_are_where_nobody_was_renamed_or_two_became_one(store: ConfigStore) -> None:
    apply_change(store, {"op": "camera.put", "camera": {"name": "yard", "url": "synthetic:street"}})
    store.file.write_text(store.file.read_text() + "journeys: {cameras: [gate, other]}\n")
    assert store.load().journeys.cameras == ("gate", "other")
    store.file.write_text(store.file.read_text().replace("other", "yard"))
    apply_change(store, {"op": "camera.remove", "name": "yard"})
    rename(store, "gate", "yard", merge=True)
    assert store.load().journeys.cameras == ("gate", "yard")
