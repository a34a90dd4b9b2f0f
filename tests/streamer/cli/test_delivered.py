"""`events`, `counts`, `ledger` and `schema`: what was counted, read back on the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.config.schema import LEDGER_FILE
from streamer.config.store import ConfigStore
from streamer.errors import Exit
from streamer.events import schemas
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger, LedgerReader
from streamer.ledger import schema as database
from streamer.sinks import redis
from tests.faults.delivery_rig import Rig
from tests.locking import EVERYTHING, held
from tests.patience import patient
from tests.streamer.cli.conftest import Daemon, Run

NS_PER_S = 1_000_000_000
HOUR_NS = 3600 * NS_PER_S
NOON_NS = 1_795_003_200 * NS_PER_S  # 2026-11-18 12:00 UTC


def crossing(seq: int, at_ns: int, class_name: str = "person", camera: str = "gate") -> EventRecord:
    data = {"line": "door", "direction": "in", "class": class_name, "rule_rev": 1, "track_id": seq}
    return EventRecord(camera, seq, "streamer.line.crossed.v1", "door", 1, seq, seq, at_ns, 3.0, 1, data)


def counts_event(seq: int, start_ns: int, seen_s: float) -> EventRecord:
    coverage = {
        "seen_s": seen_s,
        "gated_s": 0.0,
        "dropped_s": 0.0,
        "offline_s": 60 - seen_s,
        "unknown_s": 0.0,
    }
    data = {"start_ns": start_ns, "end_ns": start_ns + 60 * NS_PER_S, "lines": {}, "coverage": coverage}
    return EventRecord("gate", seq, "streamer.counts.v1", "gate", 1, -1, 0, start_ns, 0.0, 1, data)


@pytest.fixture
def ledger(store: ConfigStore) -> Iterator[Ledger]:
    config = store.load()
    path = config.state_path / LEDGER_FILE
    ledger = Ledger(path, "node-1", max_bytes=1 << 26, retention_days=9999, now_ns=lambda: NOON_NS)
    yield ledger
    ledger.close()


@pytest.fixture
def counted(ledger: Ledger) -> Ledger:
    """Two hours: 2 people and a car, then 1 person; half a minute of a minute was not seen."""
    ledger.commit(
        [
            crossing(1, NOON_NS),
            crossing(2, NOON_NS + NS_PER_S, "traffic light"),
            crossing(3, NOON_NS + 61 * NS_PER_S),
            counts_event(4, NOON_NS, 30.0),
            crossing(5, NOON_NS + HOUR_NS),
            crossing(1, NOON_NS, camera="yard"),
        ]
    )
    return ledger


@pytest.mark.usefixtures("counted")
def test_counts_are_summed_by_what_is_asked_for(run: Run) -> None:
    result = run("counts", "--since", "all", "--by", "camera,class", "--csv")
    rows = list(csv.reader(io.StringIO(result.stdout)))
    assert rows == [
        ["camera", "class", "count"],
        ["gate", "person", "3"],
        ["gate", "traffic light", "1"],
        ["yard", "person", "1"],
    ]


@pytest.mark.usefixtures("counted")
def test_a_broken_file_is_named_and_stops_no_reading_of_what_was_counted(
    run: Run, store: ConfigStore
) -> None:
    asked = (
        ("counts", "--since", "all", "--by", "hour", "--csv"),
        ("events", "--json"),
        ("ledger", "status", "--json"),
        ("explain", "gate/1", "--json"),
    )
    whole = store.file.read_text() + "timezone: Asia/Kolkata\nredis: {enabled: false}\n"
    store.file.write_text(whole)
    sound = {args: run(*args).stdout for args in asked}
    store.cameras_dir.mkdir()
    bad = store.camera_file("yard")
    bad.write_text("name: yard\nurl: [\n")
    for args in asked:
        result = run(*args)
        assert (result.exit_code, result.stdout) == (0, sound[args])
        assert f"warning: {bad}:" in result.stderr
    bad.unlink()
    store.file.write_text(whole + "ledger:\n  max_mb: {\n")
    for args in asked:
        result = run(*args)
        assert (result.exit_code, result.stdout) == (0, sound[args])
        assert f"warning: {store.file}:" in result.stderr


@pytest.mark.usefixtures("counted")
def test_hours_are_those_of_the_sites_timezone(run: Run, store: ConfigStore) -> None:
    with open(store.file, "a") as file:
        file.write("timezone: Asia/Kolkata\n")  # half an hour off the hours of UTC
    found = json.loads(run("counts", "--since", "all", "--camera", "gate", "--by", "hour", "--json").stdout)
    assert [{key: row[key] for key in ("hour", "count")} for row in found["counts"]] == [
        {"hour": "2026-11-18 17:00", "count": 3},
        {"hour": "2026-11-18 18:00", "count": 1},
    ]
    assert found["coverage"]["gate"]["seen_s"] == 30.0


@pytest.mark.usefixtures("counted")
def test_counts_say_how_much_was_seen(run: Run) -> None:
    result = run("counts", "--since", "2026-11-18")
    assert "person" in result.stdout
    assert "gate: seen 50.0 % of 60 s in closed buckets" in result.stderr


def test_what_was_a_camera_for_less_than_a_second_is_not_among_those_seen(run: Run, counted: Ledger) -> None:
    coverage = {"seen_s": 0.0, "gated_s": 0.0, "dropped_s": 0.0, "offline_s": 0.3, "unknown_s": 0.0}
    data = {"start_ns": NOON_NS, "end_ns": NOON_NS + NS_PER_S, "lines": {}, "coverage": coverage}
    counted.commit(
        [EventRecord("broken", 1, "streamer.counts.v1", "broken", 1, -1, 0, NOON_NS, 0.0, 1, data)]
    )
    told = run("counts", "--since", "2026-11-18").stderr
    assert ("gate: seen" in told, "broken" in told) == (True, False)


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    "args", [("--since", "yesterday"), ("--since", "9999999999d"), ("--by", "colour"), ("--by", ",")]
)
def test_counts_refuse_what_they_do_not_understand(run: Run, args: tuple[str, ...]) -> None:
    result = run("counts", *args)
    assert result.exit_code == Exit.USAGE
    assert result.stdout == ""


def test_without_a_ledger_each_command_says_so_in_one_line(run: Run) -> None:
    for args in (("counts",), ("ledger", "status"), ("ledger", "backup", "x"), ("ledger", "new-incarnation")):
        result = run(*args)
        assert result.exit_code == Exit.STORAGE, args
        assert result.stderr.count("\n") == 1
        assert "no ledger at" in result.stderr


@pytest.mark.usefixtures("counted")
def test_ledger_status_tells_what_redis_lacks(run: Run) -> None:
    found = json.loads(run("ledger", "status", "--json").stdout)
    assert (found["committed"], found["undelivered"]) == (6, 6)
    assert found["cameras"]["gate"] == {"last_seq": 5, "delivered": 0, "undelivered": 5}
    assert "6 events committed" in run("ledger", "status").stdout


@pytest.mark.parametrize(
    "command",
    [("events",), ("counts",), ("ledger", "status"), ("ledger", "backup", "x"), ("explain", "gate/1")],
)
def test_what_reads_a_locked_ledger_says_so_in_one_line(
    run: Run, counted: Ledger, short_dir: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(short_dir)
    monkeypatch.setattr(database, "READ_WAIT_S", 0.1)
    counted.close()
    with held(counted.path, EVERYTHING):
        result = run(*command)
    assert result.exit_code == Exit.STORAGE
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if "reading the ledger instead" not in line]
    assert line.startswith("error: the ledger cannot be read: another program")
    assert not list(short_dir.glob("x*"))


@pytest.mark.usefixtures("counted")
def test_a_backup_is_verified_and_never_overwrites(run: Run, short_dir: Path) -> None:
    target = short_dir / "copy.sqlite"
    assert "verified" in run("ledger", "backup", str(target)).stdout
    reader = LedgerReader(target)
    assert reader.cameras() == {"gate": 5, "yard": 1}
    reader.close()
    result = run("ledger", "backup", str(target))
    assert result.exit_code == Exit.STORAGE


def test_a_new_lineage_is_made_only_while_no_daemon_runs(run: Run, counted: Ledger, daemon: Daemon) -> None:
    daemon.answers["ping"] = lambda request: request.reply({})
    assert run("ledger", "new-incarnation").exit_code == Exit.RUNNING
    daemon.close()
    counted.close()
    assert run("ledger", "new-incarnation").exit_code == 0
    found = json.loads(run("ledger", "status", "--json").stdout)
    assert found["lineage"] > counted.lineage


@pytest.mark.usefixtures("counted")
def test_events_come_from_the_ledger_where_no_redis_answers(run: Run) -> None:
    result = run("events", "--json", "--camera", "gate", "--last", "3")
    assert [json.loads(line)["data"]["seq"] for line in result.stdout.splitlines()] == [3, 4, 5]
    assert "reading the ledger instead" in result.stderr
    people = run("events", "--type", "line.crossed").stdout.splitlines()
    assert len(people) == 5
    assert people[0].startswith("2026-11-18 12:00:00.000  gate ")
    assert "line=door  direction=in  class=person  track_id=1" in people[0]


@pytest.mark.usefixtures("counted")
def test_the_last_of_a_type_are_found_behind_others(run: Run) -> None:
    args = ("events", "--json", "--camera", "gate", "--type", "line.crossed")
    assert [json.loads(line)["data"]["seq"] for line in run(*args, "-n", "3").stdout.splitlines()] == [
        2,
        3,
        5,
    ]
    result = run("events", "--json", "--type", "counts", "--last", "1")
    assert [json.loads(line)["data"]["seq"] for line in result.stdout.splitlines()] == [4]


@pytest.mark.integration
def test_redis_is_read_backwards_until_enough_of_a_type_are_found(
    run: Run,
    short_dir: Path,
    redis_binary: str,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis, "PAGE_ENTRIES", 3)
    rig = Rig(short_dir, cameras=("gate",))
    try:
        rig.start_redis()
        rig.start_delivery()
        rig.resume()
        rig.publish_state("gate")
        rig.count("gate", 1)
        for seq in (2, 3):
            rig.sequencer.send([counts_event(seq, NOON_NS, 60.0)])
            rig.sent["gate"] += 1
        rig.count("gate", 9)
        rig.settle()
        unknown, removed = run("events", "--camera", "nocam"), run("events", "--camera", "gate", "-n", "1")
        found = {n: run("events", "--type", "counts", "--last", str(n), "--json") for n in (1, 2, 5)}
    finally:
        rig.close()
    assert (unknown.exit_code, removed.exit_code) == (Exit.CONFIG, 0)
    assert "no camera 'nocam'; known: gate" in unknown.stderr
    assert "gate" in removed.stdout, "no file of cameras.d names it, but its events are in Redis"
    seqs = {n: [json.loads(line)["data"]["seq"] for line in r.stdout.splitlines()] for n, r in found.items()}
    assert seqs == {1: [3], 2: [2, 3], 5: [2, 3]}
    assert all(r.stderr == "" for r in found.values()), "the other types between are no gap"


def test_an_unknown_event_type_is_refused_with_those_there_are(run: Run) -> None:
    result = run("events", "--type", "line.jumped")
    assert result.exit_code == Exit.CONFIG
    assert "streamer.line.crossed.v1" in result.stderr


@pytest.mark.usefixtures("counted")
def test_a_camera_that_never_was_is_refused_and_one_that_was_removed_is_read(
    run: Run, store: ConfigStore
) -> None:
    store.cameras_dir.mkdir()
    store.camera_file("fresh").write_text("name: fresh\nurl: synthetic:street\n")
    for command in ("events", "counts"):
        result = run(command, "--camera", "nocam")
        assert result.exit_code == Exit.CONFIG
        assert result.stdout == ""
        assert "no camera 'nocam'; known: fresh, gate, yard" in result.stderr
        assert run(command, "--camera", "fresh").exit_code == 0, "configured, but nothing happened yet"
    assert "class=person" in run("events", "--camera", "yard").stdout  # it is in the ledger alone
    assert "person" in run("counts", "--since", "all", "--camera", "yard").stdout


def test_schema_lists_and_prints(run: Run) -> None:
    assert [line.split()[0] for line in run("schema").stdout.splitlines()] == schemas.names()
    assert json.loads(run("schema", "streamer.counts.v1").stdout) == schemas.get("streamer.counts.v1")
    assert json.loads(run("schema", "--envelope").stdout) == schemas.envelope()
    assert run("schema", "nothing").exit_code == Exit.CONFIG


@pytest.fixture
def follower(
    store: ConfigStore, short_dir: Path
) -> Iterator[Callable[..., Callable[[], list[dict[str, object]]]]]:
    """Start `streamer events --follow` as a process; returns what reads the events it has printed."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*args: str) -> Callable[[], list[dict[str, object]]]:
        output = short_dir / f"follow{len(started)}"
        with open(output, "w") as file:
            command = [sys.executable, "-m", "streamer.cli.main", "--config", str(store.folder)]
            command += ["events", "--follow", "--json", *args]
            started.append(
                subprocess.Popen(command, stdout=file, env={**os.environ, "PYTHONUNBUFFERED": "1"})
            )
        return lambda: [json.loads(line) for line in output.read_text().splitlines()]

    yield begin
    for process in started:
        process.send_signal(signal.SIGINT)
        assert process.wait(patient(10)) == 130


@pytest.mark.integration
def test_followers_see_events_as_they_come_and_outlive_redis(
    follower: Callable[..., Callable[[], list[dict[str, object]]]],
    short_dir: Path,
    redis_binary: str,  # noqa: ARG001
) -> None:
    rig = Rig(short_dir, cameras=("gate",))
    try:
        rig.start_redis()
        rig.start_delivery()
        rig.resume()
        rig.publish_state("gate")
        rig.count("gate", 2)
        rig.settle()
        printed = follower("--last", "1")
        rig.until(lambda: len(printed()) == 1)
        rig.count("gate", 3)
        rig.until(lambda: len(printed()) == 4)
        rig.kill_redis()
        rig.count("gate", 2)
        rig.start_redis()
        rig.until(lambda: len(printed()) == 6)
        assert [event["data"]["seq"] for event in printed()] == [2, 3, 4, 5, 6, 7]  # type: ignore[index]
    finally:
        rig.close()


@pytest.mark.integration
def test_followers_of_the_ledger_see_events_as_they_come(
    follower: Callable[..., Callable[[], list[dict[str, object]]]], counted: Ledger
) -> None:
    printed = follower("--camera", "gate", "--last", "2")
    end_s = time.monotonic() + patient(20)
    while len(printed()) < 2 and time.monotonic() < end_s:
        time.sleep(0.05)
    counted.commit([crossing(6, NOON_NS), crossing(2, NOON_NS, camera="yard")])
    while len(printed()) < 3 and time.monotonic() < end_s:
        time.sleep(0.05)
    assert [event["data"]["seq"] for event in printed()] == [4, 5, 6]  # type: ignore[index]


@pytest.mark.integration
def test_a_bucket_that_is_told_after_its_end_is_no_gap(run: Run, short_dir: Path, redis_binary: str) -> None:  # noqa: ARG001
    rig = Rig(short_dir, cameras=("gate",))
    try:
        rig.start_redis()
        rig.start_delivery()
        rig.resume()
        rig.publish_state("gate")
        rig.count("gate", 1)
        rig.sequencer.send([counts_event(0, NOON_NS, 60.0)])  # of a time before the crossing's
        rig.sent["gate"] += 1
        rig.count("gate", 1)
        rig.settle()
        result = run("events", "--last", "3")
    finally:
        rig.close()
    assert [line.split()[3] for line in result.stdout.splitlines()] == [
        "line.crossed",
        "counts",
        "line.crossed",
    ]
    assert "missing" not in result.stderr


# ---- what was seen of a row's time


def bucket_of(seq: int, start_ns: int, blind: dict[str, float], moved_s: float = 0.0) -> EventRecord:
    """A minute of the camera gate, of which these seconds were not seen."""
    blind_s = sum(blind.values())
    coverage = {"seen_s": 60 - blind_s, "gated_s": 0.0, "dropped_s": 0.0, "offline_s": 0.0}
    frames = {"decoded": 1500, "inferred": 600, "gated": 0, "dropped": {"not_due": 700, "busy": 200}}
    data = {
        "start_ns": start_ns,
        "end_ns": start_ns + 60 * NS_PER_S,
        "lines": {},
        "coverage": {**coverage, "unknown_s": blind_s},
        "blind": blind,
        "moved_s": moved_s,
        "frames": frames,
    }
    return EventRecord("gate", seq, "streamer.counts.v1", "gate", 1, -1, 0, start_ns, 0.0, 1, data)


@pytest.fixture
def blinded(ledger: Ledger) -> Ledger:
    """An hour that was seen in part, one that was frozen, and between them one without a daemon."""
    ledger.commit(
        [
            crossing(1, NOON_NS),
            bucket_of(2, NOON_NS, {"frozen": 15.0}, moved_s=30.0),
            bucket_of(3, NOON_NS + 2 * HOUR_NS, {"frozen": 60.0}),
        ]
    )
    return ledger


BY_HOUR = ("counts", "--since", "all", "--by", "hour")


@pytest.mark.usefixtures("blinded")
def test_a_row_says_what_was_not_seen_and_why_and_a_blind_one_is_unknown_and_not_zero(run: Run) -> None:
    rows = json.loads(run(*BY_HOUR, "--json").stdout)["counts"]
    assert [row["count"] for row in rows] == [1, None, None]
    first, middle, last = rows
    assert first["blind"] == {"frozen": 15.0, "not_recorded": 3540.0}
    assert (first["seen_s"], first["moved_s"], first["seen_share"]) == (45.0, 30.0, 0.75)
    assert middle["blind"] == {"not_recorded": 3600.0}
    assert last["blind"] == {"frozen": 60.0}


@pytest.mark.usefixtures("blinded")
def test_the_table_and_csv_say_unknown_too(run: Run) -> None:
    shown = run(*BY_HOUR).stdout.splitlines()
    assert [line.split()[2] for line in shown[1:]] == ["1", "unknown", "unknown"]
    assert shown[-1].split("unknown")[1].strip() == "0% (frozen 100%)"
    rows = list(csv.DictReader(io.StringIO(run(*BY_HOUR, "--csv").stdout)))
    assert [row["count"] for row in rows] == ["1", "unknown", "unknown"]
    assert [row["frozen_s"] for row in rows] == ["15.0", "", "60.0"]


@pytest.mark.usefixtures("blinded")
def test_a_time_without_a_count_that_was_seen_in_part_is_no_plain_zero(run: Run, blinded: Ledger) -> None:
    blinded.commit([bucket_of(4, NOON_NS + 3 * HOUR_NS, {"black": 20.0})])
    args = ("counts", "--since", "all", "--by", "minute", "--json")
    last = json.loads(run(*args).stdout)["counts"][-1]
    assert (last["count"], last["blind"]) == (0, {"black": 20.0})


@pytest.mark.usefixtures("blinded")
def test_what_a_camera_did_not_see_is_told_by_reason(run: Run) -> None:
    found = json.loads(run("counts", "--since", "all", "--json").stdout)["cameras"]["gate"]
    assert (found["blind"], found["blind_s"], found["seen_share"]) == ({"frozen": 75.0}, 75.0, 0.75)


@pytest.mark.usefixtures("counted")
def test_buckets_of_an_older_version_have_the_reasons_that_they_have(run: Run) -> None:
    rows = json.loads(run(*BY_HOUR, "--camera", "gate", "--json").stdout)["counts"]
    assert rows[0]["blind"] == {"offline": 30.0}
