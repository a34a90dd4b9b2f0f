"""Log lines: levels the journal understands, no credentials, and no floods."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from streamer.logs import PLAIN, JsonFormatter, RedactingFormatter, redact
from tests.daemon import Daemon

SCRIPT = """
import logging, sys
from streamer.logs import setup_daemon
setup_daemon("capture-0")
log = logging.getLogger("x")
log.info("opening %s", "rtsp://admin:canary@10.0.0.5/live")
try:
    raise OSError("rtsp://admin:canary@10.0.0.5/live: refused")
except OSError:
    log.exception("failed")
import warnings
warnings.warn("odd")
"""


def record(text: str, *args: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("x", level, "f.py", 1, text, args, None)


def test_a_credential_is_hidden_in_arguments_and_text() -> None:
    formatter = RedactingFormatter(PLAIN.replace("{process}", "capture-0"))
    text = formatter.format(record("%s and rtsp://u:canary@h/x", "rtsp://admin:canary@10.0.0.5/live"))
    assert "canary" not in text
    assert "10.0.0.5/live" in text


def test_the_journal_gets_a_level_on_every_line() -> None:
    formatter = RedactingFormatter("%(message)s", journal=True)
    assert formatter.format(record("a\nb", level=logging.ERROR)) == "<3>a\n<3>b"
    assert formatter.format(record("a", level=logging.WARNING)) == "<4>a"


@pytest.mark.parametrize("journal", [False, True])
def test_a_process_logs_to_standard_error_as_its_place_asks(journal: bool) -> None:
    read_end, write_end = os.pipe()
    found = os.fstat(write_end)
    env = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}" if journal else "1:2"}
    subprocess.run([sys.executable, "-c", SCRIPT], stderr=write_end, env=env, check=True)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert "canary" not in "\n".join(lines)
    assert any("OSError" in line for line in lines)
    assert any("odd" in line for line in lines), "warnings are logged too"
    if journal:
        assert lines[0] == "<6>capture-0: opening rtsp://***@10.0.0.5/live"
        assert all(line[0] == "<" for line in lines)
    else:
        assert lines[0].endswith(" I capture-0: opening rtsp://***@10.0.0.5/live")


DIES = """
import threading
from streamer.logs import setup_daemon
setup_daemon("capture-0")
def die():
    raise OSError("rtsp://admin:canary@10.0.0.5/live: refused")
thread = threading.Thread(target=die, name="projector")
thread.start()
thread.join()
"""


def test_a_thread_that_dies_is_named_in_the_log_and_shows_no_credential() -> None:
    env = {k: v for k, v in os.environ.items() if k != "JOURNAL_STREAM"}
    done = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True, check=True, env=env)
    assert "E capture-0: projector has died of an unexpected error" in done.stderr
    assert "OSError: rtsp://***@10.0.0.5/live: refused" in done.stderr
    assert "canary" not in done.stderr


@pytest.mark.timeout(60)  # a fraction of a second; its square would be minutes
@pytest.mark.parametrize("piece", ["x", "x://", "a@", "9", "x:/", "token="])
def test_a_long_line_costs_its_length_and_not_its_square(piece: str) -> None:
    """A request of 256 KiB held up the daemon's loop for minutes: what is wrong in it is quoted, and
    redacted."""
    redact(piece * (256_000 // len(piece)) + " rtsp://u:p@h/")


def test_what_stands_before_a_url_hides_nothing_of_it() -> None:
    for before in ("", "x" * 100, "7" * 100, "see "):
        assert "secret" not in redact(f"{before}rtsp://u:secret@host/x")


def test_as_json_a_line_is_one_object_without_credentials() -> None:
    env = {**os.environ, "STREAMER_LOG_FORMAT": "json", "JOURNAL_STREAM": ""}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    assert "canary" not in done.stderr
    first, second, third = [json.loads(line) for line in done.stderr.splitlines()]
    assert first["message"] == "opening rtsp://***@10.0.0.5/live"
    assert (first["level"], first["process"]) == ("info", "capture-0")
    assert datetime.fromisoformat(first["time"]).utcoffset() == timedelta(0)
    assert "Traceback" in second["exception"]
    assert "***@10.0.0.5/live: refused" in second["exception"]
    assert "odd" in third["message"]


def test_as_json_a_record_about_a_camera_says_which() -> None:
    said = JsonFormatter("infer-0").format(record("camera %s: %s", "gate", "is\nblack", level=logging.ERROR))
    assert "\n" not in said
    assert {"camera": "gate", "level": "error"}.items() <= json.loads(said).items()
    assert "camera" not in json.loads(JsonFormatter("infer-0").format(record("ready")))


def test_as_json_the_journal_still_gets_its_level() -> None:
    said = JsonFormatter("infer-0", journal=True).format(record("a\nb", level=logging.WARNING))
    assert said.startswith('<4>{"time"')
    assert "\n" not in said


@pytest.mark.integration
def test_every_process_of_a_daemon_logs_as_its_file_asks(short_dir: Path) -> None:
    camera = {"name": "gate", "url": "synthetic:street"}
    daemon = Daemon(short_dir, [camera], logging={"format": "json"})
    daemon.start()
    try:
        daemon.wait_for(lambda s: s["cameras"][0]["fps_inferred"] > 0, 40, "frames")
    finally:
        daemon.stop()
    said = [json.loads(line) for line in daemon.log().splitlines()]
    assert {"supervisor"} <= {line["process"] for line in said}
    assert {"capture", "infer", "deliver"} & {line["process"].split("-")[0] for line in said}
