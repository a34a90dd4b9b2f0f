"""Analytics end to end: squares that are rendered, encoded, found by motion and checked by arithmetic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer.errors import Exit
from streamer.events import schemas
from tests.moving import CROSS_S, LINE, SIDE, WIDTH, crossings, write_moving_clip

SECONDS = 12.0
METRES = 40.0  # the picture's width on the ground
SPEED_MPS = (WIDTH + 2 * SIDE) / CROSS_S * METRES / WIDTH
RULES: dict[str, Any] = {
    "lines": [{**LINE, "left_to_right": "in", "right_to_left": "out"}],
    "zones": [
        {"name": "left", "points": [[0.05, 0.0], [0.35, 0.0], [0.35, 1.0], [0.05, 1.0]]},
        {"name": "right", "points": [[0.65, 0.0], [0.95, 0.0], [0.95, 1.0], [0.65, 1.0]]},
    ],
    "flows": [{"name": "ways", "zones": ["left", "right"], "every_s": 60}],
    "calibration": {
        "points": [[0, 0], [1, 0], [1, 1], [0, 1]],
        "metres": [[0, 0], [METRES, 0], [METRES, METRES * 9 / 16], [0, METRES * 9 / 16]],
    },
    "speeds": [{"name": "pace", "line": "middle", "unit": "m/s"}],
    "wrong_ways": [{"name": "ramp", "line": "middle", "allowed": "out"}],
    "heatmaps": [{"name": "heat", "columns": 8, "rows": 3}],
    "uniques": [{"name": "all"}],
    "queues": [{"name": "till", "zone": "left"}],
}


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(folder), "STREAMER_CONFIG": str(folder / "none")}
    command = [sys.executable, "-m", "streamer.cli.main", "analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving_clip(tmp_path_factory.mktemp("clips") / "squares.mp4", SECONDS)


@pytest.fixture(scope="module")
def analysed(clip: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What --json says and all events, of the preset for people with the motion detector's class."""
    rules, events = clip.parent / "rules.yaml", clip.parent / "out.jsonl"
    rules.write_text(yaml.safe_dump({"rules": RULES}))
    done = run(
        clip.parent,
        *(clip, "--rules", rules, "--events", events, "--json"),
        *("--model", "motion", "--pipeline", "people-counting", "--classes", "object"),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), [json.loads(line) for line in events.read_text().splitlines()]


def test_every_speed_is_that_of_the_squares(analysed: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    _, events = analysed
    speeds = [e["data"]["speed"] for e in events if e["type"] == "streamer.speed.measured.v1"]
    assert len(speeds) == crossings(SECONDS)
    assert speeds == pytest.approx([SPEED_MPS] * len(speeds), rel=0.1)


def test_counts_occupancy_and_wrong_ways_agree(
    analysed: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    found, _ = analysed
    expected = crossings(SECONDS)
    assert found["lines"]["middle"]["left_to_right"] == expected
    entrance = found["analytics"]["occupancy.changed"]["entrance"]["last"]
    assert (entrance["count"], entrance["out"]["count"], entrance["below_zero"]) == (expected, 0, 0)
    assert found["analytics"]["wrongway.detected"]["ramp"]["events"] == pytest.approx(expected, abs=1)


def test_all_flow_from_left_to_right_and_nobody_queues(
    analysed: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    found, _ = analysed
    [(origin, row)] = found["analytics"]["flow.matrix"]["ways"]["last"]["matrix"].items()
    assert (origin, list(row)) == ("left", ["right"])
    assert row["right"]["count"] == pytest.approx(crossings(SECONDS), abs=2)
    assert "queue.changed" not in found["analytics"]


def test_heat_lies_in_all_three_lanes(analysed: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    found, _ = analysed
    heat = found["analytics"]["heatmap.measured"]["heat"]["last"]
    lanes = [sum(heat["seconds"][8 * row : 8 * row + 8]) for row in range(3)]
    assert min(lanes) > 0.6 * max(lanes) > 3


def test_what_is_written_fits_the_schemas_types(
    analysed: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    _, events = analysed
    assert {e["type"] for e in events} <= set(schemas.names())


def test_a_person_reads_the_last_of_each_in_a_table(clip: Path) -> None:
    rules = clip.parent / "few.yaml"
    rules.write_text(yaml.safe_dump({"uniques": [{"name": "all"}]}))  # without `rules:` around it
    line = ("--line", "mid=0.5,1,0.5,0", "--in", "right")
    done = run(clip.parent, clip, "--model", "motion", "--rules", rules, *line)
    assert done.returncode == 0, done.stderr
    assert "unique.counted" in done.stdout
    assert "tracks (object" in done.stdout


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rules: {queues: [{name: till, zone: hall}]}", "queue 'till': there is no zone 'hall'"),
        ("queus: []", "queus: unknown key: did you mean 'queues'?"),
        ("rules: {calibration: {points: [[0,0],[1,0],[1,1],[0,1]]}}", "give either metres"),
        ("[1, 2", "is not YAML"),
    ],
)
def test_a_file_of_rules_that_is_wrong_is_refused_with_its_line(clip: Path, text: str, reason: str) -> None:
    rules = clip.parent / "wrong.yaml"
    rules.write_text(text)
    done = run(clip.parent, clip, "--rules", rules)
    assert done.returncode == Exit.CONFIG
    assert f"{rules}:1" in done.stderr
    assert reason in done.stderr
    assert done.stdout == ""


def test_a_preset_for_people_refuses_a_detector_that_knows_none(clip: Path) -> None:
    people = ("--pipeline", "people-counting", "--line", "mid=0.5,1,0.5,0")
    done = run(clip.parent, clip, "--model", "motion", *people)
    assert done.returncode == Exit.CONFIG
    assert "person" in done.stderr


def test_an_occupancy_is_set_back_by_the_site_s_clock_as_a_daemon_does(clip: Path, tmp_path: Path) -> None:
    rules, events = tmp_path / "rules.yaml", tmp_path / "out.jsonl"
    lines = [{**LINE, "left_to_right": "in", "right_to_left": "out"}]
    occupancy = {"name": "shop", "lines": ["middle"], "reset_at": "03:00"}
    rules.write_text(yaml.safe_dump({"lines": lines, "occupancies": [occupancy]}))
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "streamer.yaml").write_text("timezone: Asia/Kolkata\n")
    asked = ("--rules", rules, "--events", events, "--model", "motion", "--at", "2026-11-29T02:59:55")
    done = run(tmp_path, clip, *asked)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in events.read_text().splitlines()]
    causes = [e["data"]["cause"] for e in told if e["type"] == "streamer.occupancy.changed.v1"]
    assert causes.count("reset_at") == 1
