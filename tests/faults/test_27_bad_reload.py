"""Fault 27: a bad configuration is read anew by a running daemon: the old one keeps running, all of it."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import Exit
from tests.daemon import Daemon

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]
STREET = "synthetic:street?width=320&height=180&fps=5"  # small and slow, since it is drawn
CAMERA = {"name": "street", "url": STREET}
BAD_FILES = {
    "not YAML": "name: street\nurl: [\n",
    "an unknown key": f"name: street\nurl: {STREET}\nspeed: 5\n",
    "a line of no length": (
        f"name: street\nurl: {STREET}\nrules: {{lines: [{{name: a, points: [[0.5, 0.5], [0.5, 0.5]]}}]}}\n"
    ),
    "an unknown class": f"name: street\nurl: {STREET}\nrules: {{classes: [unicorn]}}\n",
    "an unknown pipeline": f"name: street\nurl: {STREET}\npipeline: nope\n",
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    base = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    found = Daemon(base, [CAMERA], inference={"engine": "motion"})
    found.start()
    found.wait_for(lambda s: s["cameras"][0]["state"] == "live", 20, "the scene to be live")
    yield found
    found.kill()
    shutil.rmtree(base, ignore_errors=True)  # a worker may be closing the ledger still


def in_force(status: dict[str, Any]) -> tuple[Any, ...]:
    """What a disturbed camera or worker would change."""
    cameras = [(c["name"], c["state"], c["epoch"], c["generation"], c["opens"]) for c in status["cameras"]]
    workers = [(w["name"], w["pid"], w["restarts"]) for w in status["workers"]]
    return status["config_rev"], cameras, workers


@pytest.mark.parametrize("text", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_the_old_configuration_goes_on_and_the_reason_is_shown(daemon: Daemon, text: str) -> None:
    path = daemon.config_dir / "cameras.d" / "street.yaml"
    good = path.read_text()
    before = in_force(daemon.status())
    other = daemon.config_dir / "cameras.d" / "another.yaml"
    other.write_text(f"name: another\nurl: {STREET}\n")  # good in itself: all or nothing
    path.write_text(text)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    try:
        status = daemon.wait_for(lambda s: s["warnings"], 5, "the refusal to be shown")
        assert "street" in status["warnings"][0]
        assert in_force(status) == before
        shown, refused = daemon.commands(("status",), ("camera", "disable", "street"))
        assert "not in force" in " ".join(shown.stdout.split())
        assert refused.returncode == Exit.CONFIG
        assert in_force(daemon.status()) == before
        assert path.read_text() == text, "a refused change writes nothing"
    finally:
        other.unlink()  # first: what was refused is read again as soon as it is mended
        path.write_text(good)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for(lambda s: not s["warnings"], 5, "the good configuration to be taken again")
    assert in_force(daemon.status()) == before, "equal content is no change"


def test_a_broken_file_hinders_no_other_camera_and_its_own_goes_on_until_it_is_removed(
    daemon: Daemon,
) -> None:
    path = daemon.config_dir / "cameras.d" / "street.yaml"
    good = path.read_text()
    _, (street,), _ = in_force(daemon.status())
    path.write_text("name: street\nurl: [\n")
    added = daemon.cli("camera", "add", "another", STREET, "--no-probe")
    assert "applied by the running daemon" in added.stdout
    assert f"warning: {path}:3: is not YAML" in added.stderr
    status = daemon.wait_for(lambda s: len(s["cameras"]) == 2, 10, "the other camera")
    assert status["warnings"][0].startswith(f"street.yaml is not in force: {path}:3: ")
    assert in_force(status)[1][1] == street
    listed, rows = daemon.commands(("camera", "list"), ("camera", "list", "--json"))
    assert ("another" in listed.stdout, "street.yaml:3" in listed.stderr) == (True, True)
    (broken,) = (c for c in json.loads(rows.stdout) if c["problem"])
    assert (broken["name"], broken["state"]) == ("street", street[1])
    daemon.cli("camera", "remove", "street")
    status = daemon.wait_for(lambda s: len(s["cameras"]) == 1, 10, "the broken camera to be gone")
    assert (status["cameras"][0]["name"], status["warnings"]) == ("another", [])
    daemon.cli("camera", "remove", "another")
    assert daemon.process is not None
    path.write_text(good)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for(lambda s: s["cameras"] and s["cameras"][0]["state"] == "live", 20, "the scene again")
