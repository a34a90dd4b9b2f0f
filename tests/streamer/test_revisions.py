"""Revisions: which configuration is in force, and which of them last moved a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.camera_rules import CameraRules
from pipelines.rules import LineSpec
from streamer.config.schema import CameraConfig, Config
from streamer.config.store import REVISIONS_FILE, revise


def config_with(*lines: LineSpec, timezone: str = "UTC") -> Config:
    camera = CameraConfig(name="gate", url="synthetic:street", rules=CameraRules(lines=lines))
    return Config(cameras=(camera,), timezone=timezone)


def line(name: str, y: float) -> LineSpec:
    return LineSpec(name=name, points=((0.1, y), (0.9, y)))


def revs(config: Config) -> dict[str, int]:
    return {item.name: item.rev for item in config.cameras[0].rules.lines}


def test_the_first_configuration_is_revision_one_and_an_equal_one_stays(tmp_path: Path) -> None:
    revised, rev = revise(config_with(line("door", 0.5)), tmp_path)
    assert (rev, revs(revised)) == (1, {"door": 1})
    assert revise(config_with(line("door", 0.5)), tmp_path) == (revised, 1)


def test_a_moved_line_takes_the_new_revision_and_its_neighbour_keeps_its_own(tmp_path: Path) -> None:
    revise(config_with(line("door", 0.5), line("gate", 0.7)), tmp_path)
    revised, rev = revise(config_with(line("door", 0.6), line("gate", 0.7)), tmp_path)
    assert (rev, revs(revised)) == (2, {"door": 2, "gate": 1})


def test_a_line_moved_back_starts_a_third_total_and_not_the_first_again(tmp_path: Path) -> None:
    for y in (0.5, 0.6):
        revise(config_with(line("door", y)), tmp_path)
    assert revs(revise(config_with(line("door", 0.5)), tmp_path)[0]) == {"door": 3}


def test_any_other_change_raises_the_revision_and_moves_no_line(tmp_path: Path) -> None:
    revise(config_with(line("door", 0.5)), tmp_path)
    revised, rev = revise(config_with(line("door", 0.5), timezone="Europe/Berlin"), tmp_path)
    assert (rev, revs(revised)) == (2, {"door": 1})


def test_a_revision_written_into_a_file_by_hand_means_nothing(tmp_path: Path) -> None:
    forged = line("door", 0.5).model_copy(update={"rev": 99})
    assert revs(revise(config_with(forged), tmp_path)[0]) == {"door": 1}


@pytest.mark.parametrize("damage", ["", "{", '{"rev": "x"}', "[]", '{"rev": 1, "digest": "a", "rules": 3}'])
def test_a_damaged_file_goes_on_above_what_the_ledger_knows(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    revise(config_with(line("door", 0.5)), tmp_path)
    (tmp_path / REVISIONS_FILE).write_text(damage)
    revised, rev = revise(config_with(line("door", 0.5)), tmp_path, floor=7)
    assert (rev, revs(revised)) == (8, {"door": 8})
    assert "damaged" in caplog.text
