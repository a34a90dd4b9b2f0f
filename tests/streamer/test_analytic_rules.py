"""Rules of analytics in the configuration: what a change may not take away, revisions, and the examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.camera_rules import CameraRules
from streamer.api.apply_change import apply_change
from streamer.config.schema import CameraConfig, Config
from streamer.config.store import ConfigStore, revise
from streamer.errors import ConfigError

ZONE = {"name": "tills", "points": [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]}
DOOR = {"name": "door", "points": [[0.1, 0.5], [0.9, 0.5]], "left_to_right": "in", "right_to_left": "out"}
QUEUE = {"name": "wait", "zone": "tills"}
RULES: dict[str, Any] = {"zones": [ZONE], "queues": [QUEUE]}


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "streamer.yaml").write_text(f"state_dir: {tmp_path}/state\n")
    return ConfigStore(folder)


def put(store: ConfigStore, rules: dict[str, Any], **more: Any) -> Config:
    camera = {"name": "gate", "url": "synthetic:street", "rules": rules, **more}
    return apply_change(store, {"op": "camera.put", "camera": camera})


def test_a_zone_that_a_queue_rests_on_is_not_removed(store: ConfigStore) -> None:
    put(store, RULES)
    before = store.camera_file("gate").read_text()
    with pytest.raises(ConfigError, match="queue 'wait': there is no zone 'tills'"):
        apply_change(store, {"op": "zone.remove", "camera": "gate", "name": "tills"})
    assert store.camera_file("gate").read_text() == before


def test_a_direction_that_an_occupancy_counts_is_not_renamed_away(store: ConfigStore) -> None:
    put(store, {"lines": [DOOR], "occupancies": [{"name": "shop", "lines": ["door"]}]})
    renamed = {**DOOR, "left_to_right": "inward"}
    with pytest.raises(ConfigError, match="line 'door' has no direction 'in'"):
        apply_change(store, {"op": "line.put", "camera": "gate", "line": renamed, "replace": True})


def test_what_is_saved_holds_no_revision_and_is_read_again(store: ConfigStore) -> None:
    config = put(store, RULES)
    assert "rev" not in store.camera_file("gate").read_text()
    assert config.cameras[0].rules == CameraRules.model_validate(RULES)


def test_a_changed_analytic_takes_the_new_revision_and_its_zone_keeps_its_own(tmp_path: Path) -> None:
    def revs(**queue: Any) -> tuple[int, int]:
        rules = CameraRules.model_validate({"zones": [ZONE], "queues": [{**QUEUE, **queue}]})
        config = Config(cameras=(CameraConfig(name="gate", url="synthetic:street", rules=rules),))
        found = revise(config, tmp_path)[0].cameras[0].rules
        return found.zones[0].rev, found.queues[0].rev

    assert revs() == (1, 1)
    assert revs(join_s=5) == (1, 2)
    assert revs(join_s=5) == (1, 2)


def test_a_class_that_there_is_not_is_refused_at_the_door(store: ConfigStore) -> None:
    with pytest.raises(ConfigError, match="queue wait: unknown class 'persn': did you mean 'person'"):
        put(store, {"zones": [ZONE], "queues": [{**QUEUE, "classes": ["persn"]}]})


def test_a_preset_for_people_is_refused_where_nothing_knows_people(store: ConfigStore) -> None:
    with pytest.raises(ConfigError, match="classes: unknown class 'person': the motion detector"):
        put(store, {"lines": [DOOR]}, pipeline="people-counting", model="motion")
    put(store, {"lines": [DOOR], "classes": ["object"]}, pipeline="people-counting", model="motion")


def test_every_example_of_the_documentation_is_valid() -> None:
    text = (Path(__file__).parents[2] / "docs" / "analytics.md").read_text()
    examples = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert len(examples) == 9
    for example in examples:
        (Config if "journeys" in example else CameraRules).model_validate(example)
