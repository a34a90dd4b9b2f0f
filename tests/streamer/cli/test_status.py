"""`streamer status` and `streamer run`: what a daemon does, and whether one could."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from streamer.cli.status import duration, page
from streamer.config.store import ConfigStore
from streamer.errors import Exit
from tests.streamer.cli.conftest import Daemon, Run

GATE = {
    "name": "gate",
    "enabled": True,
    "state": "live",
    "detail": "h264 640x352",
    "width": 640,
    "height": 352,
    "codec": "h264",
    "fps_decoded": 24.66,
    "fps_inferred": 11.9,
    "age_ms": {"p50": 31.4, "p99": 88.0},
    "restarts": 0,
    "warning": "",
    "frames": {
        "decoded": 523,
        "inferred": 246,
        "gated": 4,
        "dropped": {"busy": 271, "not_due": 0},
        "in_flight": 2,
    },
}
YARD = {
    "name": "yard",
    "state": "unreachable",
    "detail": "rtsp://admin:canary@10.0.0.5/live: [refused] next try in 3 s",
    "age_ms": {"p50": None, "p99": None},
    "quarantine_s": 3540,
    "frames": {"dropped": {}},
}
INFER = {
    "name": "infer-0",
    "state": "ready",
    "pid": 4712,
    "restarts": 1,
    "beat_age_s": 0.1,
    "cpu_s": 12.5,
    "rss_mb": 210.0,
    "cameras": ["gate", "yard"],
    "last_error": "exit code 1",
}
STATUS: dict[str, Any] = {
    "node": "af4cc2fc-ec89-4b55-a73f-3a8c77412d4d",
    "display_name": "lobby box",
    "version": "0.1.0",
    "pid": 4711,
    "uptime_s": 93784.5,
    "config_rev": 12,
    "cameras": [GATE, YARD],
    "workers": [INFER, {"name": "capture-0", "state": "waiting", "pid": None, "beat_age_s": None}],
    "ledger": {"state": "ok", "committed": 17, "undelivered": 3, "bytes": 300_000, "max_bytes": 2 << 30},
    "sinks": {
        "redis": {
            "kind": "redis",
            "state": "down",
            "last_error": "connection refused",
            "written": 14,
            "blocked": {},
        }
    },
    "warnings": ["the configuration on disk is not in force"],
}


def text_of(status: dict[str, Any], width: int = 80) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(page(status))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 160])
def test_the_page_shows_what_matters_in_a_terminal_s_width(width: int) -> None:
    text = text_of(STATUS, width)
    identity = ("lobby box", "config_rev 12", "up 1d 2h 3m")
    cameras = ("gate", "live", "24.7", "11.9", "31", "88", "busy 271", "yard", "unreachable", "[refused]")
    workers = ("infer-0", "4712", "exit code 1")
    stores = ("17 committed, 3 undelivered", "down", "connection refused", "not in force")
    alone = ("yard: alone in its process, which kept dying, for another 59m 0s",) if width > 80 else ()
    for word in identity + cameras + workers + stores + alone:
        assert word in text, word
    assert "not_due" not in text, "a reason for which nothing was dropped"
    assert re.search(r"decoded +. inferred +. gated +. in flight +. dropped +dropped as", text)
    assert re.search(r"gate +523 +246 +4 +2 +271 +busy 271", text), "all terms of the balance"
    assert max(map(len, text.splitlines())) <= width


def test_a_daemon_that_has_only_begun_is_shown_too() -> None:
    assert "no cameras" in text_of({"cameras": [], "workers": []})


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0m 0s"), (61.9, "1m 1s"), (3600, "1h 0m"), (93784, "1d 2h 3m")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_json_is_the_daemon_s_own_answer_without_credentials(run: Run, daemon: Daemon) -> None:
    daemon.answers["status"] = lambda request: request.reply(STATUS)
    found = json.loads(run("status", "--json").stdout)
    assert "canary" not in json.dumps(found)
    assert found["cameras"][0] == STATUS["cameras"][0]
    assert "canary" not in run("status").output


def test_without_a_daemon_status_says_so_with_its_code(run: Run) -> None:
    result = run("status")
    assert result.exit_code == Exit.RUNNING
    assert "streamer run" in result.stderr


def test_watch_prints_one_object_a_line_for_programs(store: ConfigStore, daemon: Daemon) -> None:
    daemon.answers["status"] = lambda request: request.reply({"n": len(daemon.asked)})
    args = [
        sys.executable,
        "-m",
        "streamer.cli.main",
        "--config",
        str(store.folder),
        "status",
        "--watch",
        "--json",
    ]
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert [json.loads(child.stdout.readline()) for _ in range(2)] == [{"n": 1}, {"n": 2}]
        child.terminate()


def test_run_check_prints_the_topology_and_opens_nothing(run: Run, store: ConfigStore) -> None:
    run("camera", "add", "gate", "synthetic:street", "--no-probe")
    run("camera", "add", "yard", "synthetic:street", "--no-probe", "--disabled")
    run("line", "add", "gate", "door", "0.1,0.5", "0.9,0.5")
    result = run("run", "--check")
    assert result.exit_code == 0, result.stderr
    for line in (
        "worker  infer-0      infer    gate",
        "worker  capture-0    capture  gate",
        "1 lines",
        "disabled",
    ):
        assert line in result.stdout
    assert not store.load().state_path.exists()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("name: gate\nurl: synthetic:street\npipeline: nope\n", Exit.CONFIG, "unknown pipeline"),
        ("name: gate\nurl: synthetic:street\nrules: {classes: [cat]}\n", Exit.CONFIG, "unknown class 'cat'"),
        ("name: gate\nurl: synthetic:street\nmodel: nope\n", Exit.MODEL, "no model 'nope'"),
        ("name: gate\nurl: synthetic:street\nspeed: 1\n", Exit.CONFIG, "gate.yaml:3: speed"),
    ],
)
def test_run_and_its_check_refuse_what_cannot_run(
    run: Run, store: ConfigStore, text: str, code: Exit, words: str
) -> None:
    store.cameras_dir.mkdir()
    store.camera_file("gate").write_text(text)
    result = run("run", "--check")
    assert result.exit_code == code
    assert words in result.stderr


def test_the_page_names_the_detector_and_its_cameras() -> None:
    packaged = {"name": "default (in the package)", "engine": "openvino", "precision": "bf16"}
    motion = {"name": "motion", "engine": "motion", "precision": ""}
    cameras = [{**GATE, "detector": packaged}, {**YARD, "detector": packaged}]
    text = text_of({**STATUS, "cameras": [*cameras, {**GATE, "name": "lot", "detector": motion}]})
    assert "detector default (in the package), openvino bf16: gate yard" in text
    assert "detector motion: lot" in text


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        ("redis: {port: 1}\n", "redis.port: unknown key"),
        ("timezone: Mars\n", "timezone: 'Mars' is not a timezone name"),
        ("inference:\n  threads: [1\n", "is not YAML"),
        ("runtime_dir: /elsewhere\n", "is given twice"),
        ("\tx: 1\n", "is not YAML"),
    ],
)
def test_a_broken_file_hides_no_daemon_and_is_told_beside_its_state(
    run: Run, store: ConfigStore, daemon: Daemon, added: str, fault: str
) -> None:
    daemon.answers["status"] = lambda request: request.reply(STATUS)
    whole = store.file.read_text()
    store.file.write_text(whole + added)
    found = json.loads(run("status", "--json").stdout)
    assert found["pid"] == STATUS["pid"]
    first, told = found["warnings"]
    assert first == STATUS["warnings"][0]
    assert told.startswith(f"on disk, not in force: {store.file}:")
    assert fault in told
    assert "lobby box" in run("status").stdout
    daemon.close()
    refused = run("status")
    assert (refused.exit_code, refused.stdout) == (Exit.CONFIG, "")
    assert fault in refused.stderr
    store.file.write_text(whole)
    assert run("status").exit_code == Exit.RUNNING


@pytest.mark.parametrize("left", [b"", b"\x00\x01\xff\xfe" * 50, b"# nothing\n", None])
def test_a_daemon_at_the_usual_place_is_found_without_its_file(
    run: Run, store: ConfigStore, daemon: Daemon, left: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers["status"] = lambda request: request.reply(STATUS)
    usual = store.load().runtime_path
    monkeypatch.setattr(ConfigStore, "default_runtime_dir", lambda _: usual)
    if left is None:
        store.file.unlink()
    else:
        store.file.write_bytes(left)
    found = json.loads(run("status", "--json").stdout)
    assert found["pid"] == STATUS["pid"]
    first, told = found["warnings"]
    assert first == STATUS["warnings"][0]
    assert told.startswith("on disk, not in force: ")
    assert str(store.file) in told
    daemon.close()
    refused = run("status")
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (Exit.CONFIG, "", 1)
    assert str(store.file) in refused.stderr


def test_a_file_that_is_partly_no_text_still_says_where_its_daemon_is(
    run: Run, store: ConfigStore, daemon: Daemon
) -> None:
    daemon.answers["status"] = lambda request: request.reply(STATUS)
    whole = store.file.read_bytes()
    store.file.write_bytes(b"\xff\xfe\x00\n" + whole + b"display_name: \xff\n")
    found = json.loads(run("status", "--json").stdout)
    assert "is not UTF-8" in found["warnings"][1]
    store.file.write_bytes(whole.replace(b"/run\n", b"/\xffrun\n"))
    daemon.close()
    assert "(and no daemon answers on " in run("status").stderr


def test_a_broken_file_of_a_camera_is_told_beside_the_daemon_s_state(
    run: Run, store: ConfigStore, daemon: Daemon
) -> None:
    daemon.answers["status"] = lambda request: request.reply(STATUS)
    store.cameras_dir.mkdir()
    store.camera_file("gate").write_text("name: gate\nurl: synthetic:street\nspeed: 1\n")
    assert "gate.yaml:3: speed: unknown key" in json.loads(run("status", "--json").stdout)["warnings"][1]


@pytest.mark.parametrize(
    ("level", "shown"), [("packets", True), ("pictures", True), ("full", False), ("", False)]
)
def test_the_table_says_how_little_is_looked_at_of_a_camera_that_rests(level: str, shown: bool) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(page({**STATUS, "cameras": [{**GATE, "level": level}]}))
    text = console.export_text()
    assert ("live packets" in text or "live pictures" in text) == shown
    assert not shown or f"live {level}" in text


def test_what_a_full_box_spares_is_said_of_the_camera() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(page({**STATUS, "cameras": [{**GATE, "decoding_spared": True}]}))
    assert "gate: decoded without the deblocking filter, since the box is full" in console.export_text()
    console.print(page({**STATUS, "cameras": [{**GATE, "decoding_spared": False}]}))
    assert "deblocking" not in console.export_text(clear=True)
