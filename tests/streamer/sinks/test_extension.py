"""A kind of sink is one new file and one line in SINKS: tried on a copy of the program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.ipc.messages import SinkAssignment
from tests.conftest import REPO
from tests.faults.delivery_rig import Rig

pytestmark = pytest.mark.integration

LINE = '    "lines": "streamer.sinks.lines:LinesSink",\n'
FILE = '''"""A sink of one file: a line an event."""

import json
from pathlib import Path

from streamer.events.cloudevents import EventId
from streamer.sinks.base import Behind, SinkSettings


class LinesSettings(SinkSettings):
    path: Path


class LinesSink:
    Settings = LinesSettings
    max_events = None

    def __init__(self, settings, node, address):
        self._path = settings.path

    def positions(self, cameras):
        stored = self._stored()
        return {camera: stored.get(camera) for camera in cameras}

    def write(self, camera, after, events):
        at = self._stored().get(camera)
        if after is not None and (at is None or at < after):
            raise Behind(at)
        with self._path.open("a") as file:
            for event in events:
                if at is None or event.id > at:
                    file.write(json.dumps([camera, str(event.id), event.body]) + "\\n")
        return max(at or events[-1].id, events[-1].id)

    def replace_totals(self, camera, totals, at): pass
    def publish(self, states): pass
    def cameras(self): return set()
    def retire(self, states): pass
    def forget(self, cameras): pass
    def close(self): pass

    def _stored(self):
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return {camera: EventId.parse(at) for camera, at, _ in map(json.loads, lines)}
'''


@pytest.fixture
def extended(short_dir: Path) -> Path:
    """The program with one more kind of sink."""
    copy = short_dir / "copy"
    for package in ("streamer", "pipelines"):
        shutil.copytree(REPO / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "streamer/sinks/lines.py").write_text(FILE)
    table = copy / "streamer/sinks/__init__.py"
    before, opened, after = table.read_text().partition("SINKS: dict[str, str] = {\n")
    table.write_text(before + opened + LINE + after)
    return copy


@pytest.fixture
def rig(short_dir: Path) -> Iterator[Rig]:
    rig = Rig(short_dir)
    yield rig
    rig.close()


def test_the_delivery_worker_delivers_to_it(rig: Rig, extended: Path, short_dir: Path) -> None:
    target = short_dir / "events.jsonl"
    settings = json.dumps({"kind": "lines", "name": "lines", "path": str(target)})
    rig.sinks = (SinkAssignment("lines", "lines", settings, ""),)
    rig.start_delivery(code=extended)
    rig.resume()
    for _ in range(10):
        rig.count("gate", 3)
        rig.count("yard", 1)
    rig.until(lambda: rig.status.get("ledger", {}).get("committed") == 40)
    rig.until(lambda: rig.status["ledger"]["undelivered"] == 0)
    assert rig.status["sinks"]["lines"]["state"] == "up"
    written = [json.loads(line) for line in target.read_text().splitlines()]
    for camera in rig.cameras:
        seqs = [int(at.partition("-")[2]) for name, at, _ in written if name == camera]
        assert seqs == list(range(1, rig.sent[camera] + 1))


def test_its_settings_are_checked_like_those_of_the_others(extended: Path, short_dir: Path) -> None:
    def check(sink: str) -> subprocess.CompletedProcess[str]:
        folders = f"state_dir: {short_dir}/state\nruntime_dir: {short_dir}/run\n"
        (short_dir / "streamer.yaml").write_text(f"{folders}sinks: [{sink}]\n")
        script = "import sys; from streamer.cli.main import main; main()"
        command = [sys.executable, "-c", script, "--config", str(short_dir), "run", "--check"]
        return subprocess.run(command, cwd=extended, capture_output=True, text=True)

    assert "sinks[0]: pth: unknown key: did you mean 'path'?" in check("{kind: lines, pth: x}").stderr
    done = check(f"{{kind: lines, path: {short_dir}/events.jsonl}}")
    assert done.returncode == 0, done.stderr
    assert ["sink", "lines", "lines"] in [line.split() for line in done.stdout.splitlines()]
