"""Alerts in the configuration: what is refused and where, commands, the page's examples, a clip's alerts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipelines.camera_rules import CameraRules
from pipelines.rules import check_name
from streamer.api.apply_change import apply_change
from streamer.cli.main import cli
from streamer.config.schema import CameraConfig, Config
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError
from streamer.models.camera_check import check_camera
from tests.conftest import REPO

ROOM = {"name": "room", "points": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]}
DOOR = {"name": "door", "points": [[0.1, 0.5], [0.9, 0.5]], "left_to_right": "in", "right_to_left": "out"}
PAGE = REPO / "docs" / "alerts.md"
CLIP = "synthetic:street?seconds=6&fps=10&width=320&height=180"


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    folder = tmp_path / "config"
    folder.mkdir()
    hours = "opening_hours: {opening: {mon-fri: ['08:00-20:00']}}"
    (folder / "streamer.yaml").write_text(
        f"state_dir: {tmp_path}/state\nruntime_dir: {tmp_path}/run\n{hours}\ntimezone: Europe/Berlin\n"
    )
    return ConfigStore(folder)


def put(store: ConfigStore, *alerts: dict[str, Any], **more: Any) -> Config:
    rules = {"zones": [ROOM], "lines": [DOOR], "alerts": list(alerts)}
    camera = {"name": "gate", "url": "synthetic:street", "model": "motion", "rules": rules, **more}
    return apply_change(store, {"op": "camera.put", "camera": camera, "replace": True})


def run(store: ConfigStore, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, ["--config", str(store.folder), *words])
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.parametrize(
    ("alert", "why"),
    [
        ({}, "say what raises it"),
        ({"classes": ["object"]}, "say what raises it"),
        ({"line": "door", "for_s": 5}, "for_s does not go with line"),
        ({"line": "door", "zone": "room"}, "zone does not go with line"),
        ({"at_least": 3}, "name the zone"),
        ({"camera": "blind", "classes": ["person"]}, "classes does not go with camera"),
        ({"zone": "yard"}, "there is no zone 'yard'; known: room"),
        ({"line": "door", "direction": "up"}, "line 'door' has no direction 'up'"),
        ({"wrong_way": "way"}, "no such rule 'way' in wrong_ways"),
        ({"zone": "room", "when": {}}, "give outside or inside"),
        ({"zone": "room", "when": {"outside": "night"}}, "opening_hours has no 'night'; it has opening"),
        ({"action": "fall"}, "this camera tells no actions"),
        ({"zone": "room", "severity": "bad"}, "severity"),
    ],
)
def test_an_alert_that_could_never_be_raised_is_refused(
    store: ConfigStore, alert: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(why)):
        put(store, {"name": "it", **alert})


def test_an_action_that_the_model_does_not_know_is_refused_with_those_it_knows(store: ConfigStore) -> None:
    camera = CameraConfig.model_validate(
        {
            "name": "gate",
            "url": "synthetic:street",
            "actions": "motion",
            "rules": {"alerts": [{"name": "it", "action": "dance"}]},
        }
    )
    with pytest.raises(ConfigError, match=r"'dance' is never told; the model tells .*fall"):
        check_camera(store.load(), camera)


def test_what_is_wrong_in_a_file_is_told_with_file_line_and_key(store: ConfigStore) -> None:
    put(store, {"name": "it", "zone": "room"})
    path = store.camera_file("gate")
    path.write_text(path.read_text().replace("zone: room", "zone: room\n    for: 5"))
    with pytest.raises(ConfigError) as refused:
        store.load()
    assert re.match(rf"{path}:\d+: rules\.alerts\[0\]\.for: unknown key", str(refused.value))


def test_a_zone_that_an_alert_rests_on_is_not_removed(store: ConfigStore) -> None:
    put(store, {"name": "it", "zone": "room"})
    with pytest.raises(ConfigError, match="alert 'it': there is no zone 'room'"):
        apply_change(store, {"op": "zone.remove", "camera": "gate", "name": "room"})


def test_alerts_are_added_listed_changed_and_removed_by_command(store: ConfigStore) -> None:
    put(store)
    options = ["--zone", "room", "--for", "10", "--class", "object", "--outside", "opening"]
    run(store, "alert", "add", "gate", "night", *options)
    assert "exists" in run(store, "alert", "add", "gate", "night", *options, code=3)
    run(store, "alert", "add", "gate", "night", *options, "--severity", "critical", "--replace")
    run(store, "alert", "add", "gate", "gone", "--camera-is", "offline", "--for", "60", "--clip")
    night, gone = json.loads(run(store, "alert", "list", "gate", "--json"))
    assert (night["zone"], night["for_s"], night["severity"]) == ("room", 10, "critical")
    assert (night["when"], night["classes"]) == ({"outside": "opening", "inside": None}, ["object"])
    assert (gone["camera"], gone["zone"]) == ("offline", None)
    assert (night["clip"], gone["clip"]) == (False, True)
    assert run(store, "alert", "list").count("clip") == 1
    assert "outside opening" in " ".join(run(store, "alert", "list").split())
    run(store, "alert", "remove", "gate", "night")
    run(store, "alert", "add", "gate", "at-once", "--line", "door", "--clip")
    assert "line door, with a clip" in " ".join(run(store, "alert", "list").split())
    run(store, "alert", "remove", "gate", "at-once")
    assert [alert.name for alert in store.load().cameras[0].rules.alerts] == ["gone"]


def examples() -> list[dict[str, Any]]:
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


def test_every_example_of_the_page_is_a_configuration() -> None:
    site, *cameras = examples()
    site["opening_hours"]["opening"] = {
        str(day): spans for day, spans in site["opening_hours"]["opening"].items()
    }
    config = Config.model_validate(site)
    names = [alert.name for each in cameras for alert in CameraRules.model_validate(each).alerts]
    assert len(names) >= 8
    for each in cameras:
        for alert in CameraRules.model_validate(each).alerts:
            assert check_name(alert.name)
            assert alert.when is None or alert.when.hours in config.opening_hours


@pytest.mark.parametrize(("at", "raised"), [("2026-11-27T23:00", True), ("2026-11-27T12:00", False)])
def test_analyze_shows_what_would_have_been_raised_at_that_time(
    store: ConfigStore, tmp_path: Path, at: str, raised: bool
) -> None:
    rules, events = tmp_path / "rules.yaml", tmp_path / "events.jsonl"
    alert = {"name": "night", "zone": "room", "for_s": 0.5, "when": {"outside": "opening"}}
    rules.write_text(yaml.safe_dump({"zones": [ROOM], "alerts": [alert]}))
    asked = ("--engine", "motion", "--rules", str(rules), "--events", str(events), "--json", "--at", at)
    found = json.loads(run(store, "analyze", CLIP, *asked).splitlines()[-1])["alerts"]
    assert bool(found) == raised
    if raised:
        lines = [json.loads(line) for line in events.read_text().splitlines()]
        assert lines[found[0]["raised_seq"] - 1]["data"]["alert"] == "night"
        assert {lines[n - 1]["type"] for n in found[0]["events"]} == {"streamer.zone.entered.v1"}
