"""`streamer line|zone|mask`: points in, rules saved, and slips of the hand refused before anything is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamer.config.store import ConfigStore
from tests.streamer.cli.conftest import Daemon, Run


@pytest.fixture
def camera(run: Run) -> str:
    assert run("camera", "add", "gate", "synthetic:street", "--no-probe").exit_code == 0
    return "gate"


def saved(run: Run, kind: str) -> list[dict[str, object]]:
    found = json.loads(run(kind, "list", "--json").stdout)
    assert isinstance(found, list)
    return found


def test_a_line_is_saved_with_its_directions_and_listed(run: Run, camera: str) -> None:
    args = ("--left-to-right", "northbound", "--right-to-left", "southbound", "--class", "vehicle")
    result = run("line", "add", camera, "road", "0.1,0.5", "0.9,0.5", *args)
    assert result.exit_code == 0, result.stderr
    assert "no daemon is running" in result.stdout
    assert saved(run, "line") == [
        {
            "camera": "gate",
            "name": "road",
            "points": [[0.1, 0.5], [0.9, 0.5]],
            "left_to_right": "northbound",
            "right_to_left": "southbound",
            "classes": ["vehicle"],
            "anchor": "auto",
        }
    ]
    assert "northbound" in run("line", "list").stdout


@pytest.mark.parametrize(("inside", "names"), [("right", ("in", "out")), ("left", ("out", "in"))])
def test_in_names_the_side_that_is_inside(run: Run, camera: str, inside: str, names: tuple[str, str]) -> None:
    run("line", "add", camera, "door", "0.1,0.5", "0.9,0.5", "--in", inside)
    (found,) = saved(run, "line")
    assert (found["left_to_right"], found["right_to_left"]) == names


def test_pixels_are_those_of_the_camera_s_own_picture(run: Run, camera: str) -> None:
    assert run("line", "add", camera, "door", "64,180", "576,180", "--pixels").exit_code == 0
    assert saved(run, "line")[0]["points"] == [[0.1, 0.5], [0.9, 0.5]]  # the street is 640x360
    result = run("line", "add", camera, "far", "64,180", "641,180", "--pixels")
    assert result.exit_code == 3
    assert "outside the picture of 640x360" in result.stderr


def test_a_running_daemon_is_asked_for_the_size_and_makes_the_change(
    run: Run, camera: str, daemon: Daemon
) -> None:
    known = {"cameras": [{"name": "gate", "width": 1000, "height": 500}]}
    daemon.answers["status"] = lambda request: request.reply(known)
    daemon.answers["change"] = lambda request: request.reply({"config_rev": 12})
    result = run("line", "add", camera, "door", "100,250", "900,250", "--pixels")
    assert "config_rev 12" in result.stdout
    op, change = daemon.asked[-1]
    assert (op, change["op"], change["line"]["points"]) == ("change", "line.put", [[0.1, 0.5], [0.9, 0.5]])
    assert saved(run, "line") == [], "the file is the daemon's to write"


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (("0.1,0.5", "0.1,0.5"), "a line needs a length"),
        (("0.1,0.5",), "a line needs at least two points, as x1,y1 x2,y2"),
        (("0.1,0.5", "1.2,0.5"), "outside the picture"),
        (("0.1,0.5", "-0.2,0.5"), "outside the picture"),
        (("-0.1,0.5", "0.2,0.5"), "outside the picture"),
        (("100,200", "300,200"), "--pixels"),
        (("0.1,nan", "0.2,0.5"), "finite"),
        (("0.1,inf", "0.2,0.5"), "finite"),
        (("0.1", "0.2,0.5"), "a point is x,y"),
        (("0.1,0.2,0.3", "0.2,0.5"), "a point is x,y"),
        (("a,b", "0.2,0.5"), "a point is x,y"),
        (("0.1;0.2", "0.2,0.5"), "a point is x,y"),
    ],
)
def test_a_bad_line_is_refused_and_nothing_is_saved(
    run: Run, camera: str, store: ConfigStore, points: tuple[str, ...], words: str
) -> None:
    before = store.camera_file(camera).read_bytes()
    result = run("line", "add", camera, "door", *points)
    assert result.exit_code == 3
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert store.camera_file(camera).read_bytes() == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("line", "add", "gate", "Bad Name", "0,0.5", "1,0.5"), "line name 'Bad Name': use 1 to 63 of a-z"),
        (
            ("line", "add", "gate", "door", "0,0.5", "1,0.5", "--left-to-right", "left_to_right"),
            "direction --left-to-right 'left_to_right': use 1 to 63 of a-z",
        ),
        (("zone", "add", "gate", "area", "0,0.5", "1,0.5"), "a zone needs at least three points"),
        (("mask", "add", "gate", "area", "0,0.5"), "a mask needs at least three points"),
    ],
)
@pytest.mark.usefixtures("camera")
def test_a_bad_name_or_too_few_points_are_told_without_patterns_and_tuples(
    run: Run, args: tuple[str, ...], words: str
) -> None:
    result = run(*args)
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert words in result.stderr


def test_zones_and_masks_are_added_listed_and_removed(run: Run, camera: str) -> None:
    for kind in ("zone", "mask"):
        result = run(kind, "add", camera, "area", "0.1,0.1", "0.5,0.1", "0.5,0.5")
        assert result.exit_code == 0, result.stderr
        assert saved(run, kind)[0]["name"] == "area"
        assert run(kind, "remove", camera, "area").exit_code == 0
        assert saved(run, kind) == []


def test_a_polygon_that_crosses_itself_is_refused(run: Run, camera: str) -> None:
    result = run("zone", "add", camera, "area", "0,0", "1,1", "1,0", "0,0.8")
    assert result.exit_code == 3
    assert "cross" in result.stderr


def test_an_existing_line_moves_only_on_request(run: Run, camera: str) -> None:
    run("line", "add", camera, "door", "0.1,0.5", "0.9,0.5")
    assert run("line", "add", camera, "door", "0.2,0.5", "0.9,0.5").exit_code == 3
    assert run("line", "add", camera, "door", "0.2,0.5", "0.9,0.5", "--replace").exit_code == 0
    assert saved(run, "line")[0]["points"] == [[0.2, 0.5], [0.9, 0.5]]


def test_unknown_cameras_lines_and_classes_are_named(run: Run, camera: str) -> None:
    for args, words in (
        (("line", "add", "nope", "door", "0.1,0.5", "0.9,0.5"), "no camera 'nope'; known: gate"),
        (("line", "remove", camera, "nope"), "no line 'nope'"),
        (("line", "list", "nope"), "no camera 'nope'"),
        (("line", "add", camera, "door", "0.1,0.5", "0.9,0.5", "--class", "cat"), "unknown class 'cat'"),
    ):
        result = run(*args)
        assert result.exit_code == 3
        assert words in result.stderr


def test_in_and_a_name_for_a_direction_do_not_go_together(run: Run, camera: str) -> None:
    args = ("--in", "left", "--left-to-right", "x")
    assert run("line", "add", camera, "door", "0.1,0.5", "0.9,0.5", *args).exit_code == 2


def test_a_snapshot_shows_the_rules_that_were_drawn(run: Run, camera: str, short_dir: Path) -> None:
    import cv2

    run("line", "add", camera, "door", "0.1,0.5", "0.9,0.5")
    plain, drawn = short_dir / "plain.png", short_dir / "drawn.png"
    assert run("camera", "snapshot", camera, "-o", str(plain)).exit_code == 0
    assert run("camera", "snapshot", camera, "--overlay", "-o", str(drawn)).exit_code == 0
    before, after = cv2.imread(str(plain)), cv2.imread(str(drawn))
    assert before is not None
    assert after is not None
    assert before.shape == after.shape == (360, 640, 3)
    assert (before[180, 120:500] != after[180, 120:500]).any(axis=1).mean() > 0.9, "the line lies on its row"
