"""Fault 26, at a start: cameras with broken files are left out and told of, and all others run."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import Exit
from tests.daemon import Daemon

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]
STREET = "synthetic:street?width=320&height=180&fps=5"  # small and slow, since it is drawn
GOOD = {"name": "street", "url": STREET}
BROKEN = {
    "torn": ("name: torn\nurl: [\n", "torn.yaml:3: is not YAML"),
    "empty": ("", "is empty"),
    "mistyped": (
        f"name: mistyped\nurl: {STREET}\nspeed: 5\n",
        "speed: unknown key",
    ),
    "strange": (f"name: strange\nurl: {STREET}\npipeline: nope\n", "nope"),
    "unicorn": (
        f"name: unicorn\nurl: {STREET}\nrules: {{classes: [unicorn]}}\n",
        "unknown class",
    ),
}


@pytest.fixture
def daemon(short_dir: Path) -> Iterator[Daemon]:
    found = Daemon(short_dir, [GOOD], inference={"engine": "motion"}, counts={"bucket_s": 5})
    for name, (text, _) in BROKEN.items():
        (found.config_dir / "cameras.d" / f"{name}.yaml").write_text(text)
    (found.config_dir / "cameras.d" / "notes.txt").write_text("mine")
    yield found
    found.kill()


def states(status: dict[str, Any]) -> dict[str, str]:
    return {camera["name"]: camera["state"] for camera in status["cameras"]}


def told(event: dict[str, Any]) -> bool:
    return bool(event["data"].get("state") == "misconfigured")


def test_the_others_run_and_each_broken_one_is_told_with_its_reason(daemon: Daemon) -> None:
    checked = daemon.cli("run", "--check", check=False)
    assert checked.returncode == Exit.CONFIG
    for name, (_, words) in BROKEN.items():
        assert name in checked.stderr
        assert words in checked.stderr
    daemon.start()
    status = daemon.wait_for(lambda s: states(s)["street"] == "live", 30, "the good camera to be live")
    assert states(status) == {"street": "live", **dict.fromkeys(BROKEN, "misconfigured")}
    details = {camera["name"]: camera["detail"] for camera in status["cameras"]}
    assert [name for name, (_, words) in BROKEN.items() if words not in details[name]] == []
    assert sum("is not in force" in text for text in status["warnings"]) == len(BROKEN) + 1  # and notes.txt
    assigned = {worker["name"]: worker["cameras"] for worker in status["workers"]}
    assert (assigned["infer-0"], assigned["capture-0"]) == (["street"], ["street"])
    log = daemon.log_path.read_text()
    for name in BROKEN:
        (event,) = [e for e in daemon.wait_for_events(name, told, 15) if told(e)]
        assert (event["type"], event["data"]["detail"]) == ("streamer.camera.state.v1", details[name])
        assert f"camera {name} is misconfigured" in log
    kept, listed, shown = daemon.commands(
        ("events", "--camera", "torn", "-n", "9", "--json"), ("camera", "list", "--json"), ("status",)
    )
    lines = kept.stdout.splitlines()
    assert [json.loads(line)["data"]["state"] for line in lines if "state.v1" in line] == ["misconfigured"]
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    for name, (_, words) in BROKEN.items():
        assert (rows[name]["state"], words in rows[name]["problem"]) == ("misconfigured", True)
    assert "misconfigured" in shown.stdout
    assert "speed: unknown key" in " ".join(shown.stdout.split())
    assert daemon.stop() == 0


def test_other_cameras_are_changed_meanwhile_and_a_mended_one_comes_in(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.process is not None
    folder = daemon.config_dir / "cameras.d"
    changes = daemon.commands(
        ("camera", "add", "yard", STREET, "--no-probe"),
        ("line", "add", "street", "door", "0.1,0.5", "0.9,0.5"),
        ("camera", "remove", "torn"),
        ("camera", "remove", "empty"),
    )
    assert [done.stderr for done in changes if done.returncode] == []
    status = daemon.wait_for(lambda s: states(s).get("yard") == "live", 20, "the new camera")
    assert set(states(status)) == {"street", "yard", "mistyped", "strange", "unicorn"}
    snapshot = daemon.cli("camera", "snapshot", "strange", check=False)
    assert snapshot.returncode == Exit.CONFIG
    assert "misconfigured" in snapshot.stderr

    (folder / "mistyped.yaml").write_text(f"name: mistyped\nurl: {STREET}\n")
    daemon.cli("camera", "set", "yard", "fps=5")  # reads what is there, too
    daemon.wait_for(lambda s: states(s)["mistyped"] == "live", 20, "the mended camera")

    for name in ("strange", "unicorn"):
        (folder / f"{name}.yaml").write_text(f"name: {name}\nurl: {STREET}\n")
    (folder / "notes.txt").unlink()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for(lambda s: set(states(s).values()) == {"live"}, 20, "all of them to be live")
    daemon.wait_for(lambda s: s["warnings"] == [], 20, "no warning any more")
    events = daemon.wait_for_events("unicorn", lambda e: e["data"].get("state") == "live", 20)
    sequence = [e["data"]["state"] for e in events if e["type"].endswith("state.v1")]
    assert sequence[:2] == ["misconfigured", "connecting"]
    numbers = [e["data"]["seq"] for e in events]
    assert numbers == list(range(1, len(numbers) + 1))
    assert daemon.stop() == 0


def test_a_refused_reload_is_tried_again_when_the_file_is_mended(daemon: Daemon) -> None:
    folder = daemon.config_dir / "cameras.d"
    (folder / "notes.txt").unlink()
    for name in BROKEN:
        (folder / f"{name}.yaml").unlink()
    daemon.start()
    assert daemon.process is not None
    street = folder / "street.yaml"
    good = street.read_text()
    street.write_text("name: street\nurl: [\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for(lambda s: s["warnings"], 10, "the refusal to be shown")
    street.write_text(good)
    daemon.wait_for(lambda s: not s["warnings"], 10, "the mended file to be taken")
    assert daemon.stop() == 0


def test_a_broken_streamer_yaml_keeps_it_down(daemon: Daemon) -> None:
    (daemon.config_dir / "streamer.yaml").write_text("timezone: [\n")
    assert daemon.cli("run", check=False).returncode == Exit.CONFIG
