"""`streamer evaluate`: a clip whose crossings are known, held against right, wrong and foreign truth."""

from __future__ import annotations

import base64
import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result

from streamer.config.store import ConfigStore
from streamer.errors import Exit
from tests import moving
from tests.streamer.cli.conftest import Run

SECONDS = 12
LINE = ("--line", "middle=0.5,1,0.5,0", "--directions", "middle=right,left")
MOTION = ("--engine", "motion")


def true_times() -> list[float]:
    """When a square's centre passes the middle, by arithmetic."""
    middle = moving.WIDTH / 2 - moving.SIDE / 2
    frames = range(int(moving.LEARNING_S * moving.FPS), SECONDS * moving.FPS)
    return sorted(
        b / moving.FPS
        for lane in range(moving.LANES)
        for a, b in itertools.pairwise(frames)
        if moving.lane_x(lane, a / moving.FPS) < middle <= moving.lane_x(lane, b / moving.FPS)
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving.write_moving_clip(tmp_path_factory.mktemp("clip") / "moving.mp4", SECONDS)


@pytest.fixture(scope="module")
def stored(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip's detections, as `analyze --detections` stores them."""
    from streamer.clips.analyze import Outputs, analyze
    from streamer.models.model_handle import open_detector
    from streamer.sources.base import create_source

    path = tmp_path_factory.mktemp("stored") / "moving.npz"
    source = create_source(str(clip), realtime=False)
    rules = moving_rules()
    analyze(
        source,
        source.open(),
        open_detector("motion", None),
        rules,
        clip="moving",
        outputs=Outputs(detections=path),
    )
    source.close()
    return path


def moving_rules() -> Any:
    from pipelines.camera_rules import CameraRules

    return CameraRules.model_validate({"lines": [moving.LINE]})


def write_truth(path: Path, times: Sequence[float], *more: str) -> Path:
    rows = [f"0:{t:05.2f},middle,right,object" for t in times]
    path.write_text("\n".join(["time,line,direction,class", *rows, *more]) + "\n")
    return path


def write_boxes(path: Path, scale: float = 1.0) -> Path:
    """The squares as MOT text; each passage has an id of its own."""
    rows = []
    for number in range(int(moving.LEARNING_S * moving.FPS), SECONDS * moving.FPS):
        t_s = number / moving.FPS
        for lane in range(moving.LANES):
            x = moving.lane_x(lane, t_s)
            left, right = max(0.0, x), min(float(moving.WIDTH), x + moving.SIDE)
            if right - left >= 1:
                y = (lane * moving.HEIGHT) // moving.LANES + (
                    moving.HEIGHT // moving.LANES - moving.SIDE
                ) // 2
                identity = int(t_s / moving.CROSS_S + lane / moving.LANES) * moving.LANES + lane + 1
                box = [scale * v for v in (left, y, right - left, moving.SIDE)]
                rows.append(f"{number + 1},{identity}," + ",".join(f"{v:.2f}" for v in box) + ",1,-1,-1,-1")
    path.write_text("\n".join(rows) + "\n")
    return path


def blind_after(stored: Path, frame: int, path: Path) -> Path:
    """The stored detections without any box from `frame` on."""
    with np.load(stored) as file:
        data = dict(file)
    data["offsets"] = np.minimum(data["offsets"], data["offsets"][frame])
    for key in ("boxes", "scores", "class_ids"):
        data[key] = data[key][: data["offsets"][frame]]
    np.savez(path, **data)
    return path


def found(result: Result) -> dict[str, Any]:
    assert result.exit_code == Exit.OK, result.stderr
    data: dict[str, Any] = json.loads(result.stdout)
    return data


# ---- figures


def test_right_counts_against_right_truth_have_no_error(run: Run, clip: Path, tmp_path: Path) -> None:
    truth = write_truth(tmp_path / "t.csv", true_times())
    data = found(run("evaluate", str(clip), "--truth", str(truth), *LINE, *MOTION, "--json"))
    assert data["overall"]["true"] == data["overall"]["counted"] == moving.crossings(SECONDS) == 17
    assert data["overall"]["gross"] == data["overall"]["net"] == 0
    assert data["overall"]["gross_share_95"] == [0, pytest.approx(3.67 / 17, abs=0.01)]
    assert data["misses"] == data["false_counts"] == []
    assert set(data["by_direction"]) == {"middle right"}
    assert set(data["by_class"]) == {"object"}
    assert data["duration_s"] == pytest.approx(SECONDS, abs=0.01)


def test_a_miss_and_a_false_count_cancel_out_in_the_net_error_alone(
    run: Run, clip: Path, tmp_path: Path
) -> None:
    times = true_times()
    truth = write_truth(tmp_path / "t.csv", times[:3] + times[4:], "2,middle,left,object")
    data = found(
        run("evaluate", str(clip), "--truth", str(truth), *LINE, *MOTION, "--json", "--start", "7:30")
    )
    assert (data["overall"]["missed"], data["overall"]["false"]) == (1, 1)
    assert (data["overall"]["gross"], data["overall"]["net"]) == (2, 0)
    assert data["by_direction"]["middle left"]["missed"] == 1
    assert data["by_direction"]["middle right"]["false"] == 1
    assert data["by_hour"]["07:00"]["gross"] == 2
    assert [m["direction"] for m in data["misses"]] == ["left"]
    assert data["false_counts"][0]["time_s"] == pytest.approx(times[3], abs=0.2)


def test_stored_detections_give_the_figures_of_their_clip(
    run: Run, clip: Path, stored: Path, tmp_path: Path
) -> None:
    truth = write_truth(tmp_path / "t.csv", true_times()[1:])
    both = [
        found(run("evaluate", str(path), "--truth", str(truth), *LINE, *engine, "--json"))
        for path, engine in ((clip, MOTION), (stored, ()))
    ]
    assert both[0]["overall"] == both[1]["overall"]
    assert both[0]["false_counts"] == both[1]["false_counts"] != []


def test_boxes_give_crossings_and_tracking_scores(run: Run, stored: Path, tmp_path: Path) -> None:
    pytest.importorskip("trackeval")
    truth = write_boxes(tmp_path / "gt.txt", scale=2.0)
    size = ("--truth-size", f"{2 * moving.WIDTH}x{2 * moving.HEIGHT}")
    gates = ("--gate", "hota>=60,idf1>=85", "--gate", "misses<=0")
    data = found(run("evaluate", str(stored), "--truth", str(truth), *size, *LINE, *gates, "--json"))
    assert data["overall"]["true"] == 17
    assert data["overall"]["gross"] == 0
    assert 60 < data["tracking"]["hota"] <= 100
    assert data["tracking"]["id_switches"] == 0
    assert [g["met"] for g in data["gates"]] == [True, True, True]


def test_boxes_at_a_rate_of_their_own_are_placed_in_time(run: Run, stored: Path, tmp_path: Path) -> None:
    every_fifth = [
        re.sub(r"^\d+", str((int(row.split(",")[0]) - 1) // 5 + 1), row)
        for row in write_boxes(tmp_path / "all.txt").read_text().splitlines()
        if (int(row.split(",")[0]) - 1) % 5 == 0
    ]
    (tmp_path / "gt.txt").write_text("\n".join(every_fifth))
    truth = ("--truth", str(tmp_path / "gt.txt"), "--truth-fps", str(moving.FPS / 5))
    data = found(run("evaluate", str(stored), *truth, *LINE, "--json"))
    assert data["overall"]["true"] == 17
    assert data["overall"]["gross"] == 0


def test_without_the_extra_the_crossings_are_compared_and_it_is_said_what_to_install(
    run: Run, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackeval", None)
    monkeypatch.setitem(sys.modules, "trackeval.metrics", None)
    truth = write_boxes(tmp_path / "gt.txt")
    data = found(run("evaluate", str(stored), "--truth", str(truth), *LINE, "--json"))
    assert data["tracking"] is None
    assert data["overall"]["gross"] == 0
    assert any("streamer[evaluate]" in text for text in data["warnings"])
    gated = run("evaluate", str(stored), "--truth", str(truth), *LINE, "--gate", "hota>=1")
    assert gated.exit_code == Exit.CONFIG
    assert "streamer[evaluate]" in gated.stderr


def test_two_that_cross_at_the_same_moment_are_two(run: Run, stored: Path, tmp_path: Path) -> None:
    with np.load(stored) as file:
        data = dict(file)
    data["boxes"] = np.repeat(data["boxes"], 2, axis=0)  # each square again, in a lane at the top
    data["boxes"][1::2, [1, 3]] = np.array([0.01, 0.10], np.float32)
    for key in ("scores", "class_ids"):
        data[key] = np.repeat(data[key], 2)
    data["offsets"] = data["offsets"] * 2
    doubled = tmp_path / "doubled.npz"
    np.savez(doubled, **data)
    truth = write_truth(tmp_path / "t.csv", true_times())
    data = found(run("evaluate", str(doubled), "--truth", str(truth), *LINE, "--json"))
    analysed = found(run("analyze", str(doubled), "--line", "middle=0.5,1,0.5,0", "--json"))
    assert data["overall"]["counted"] == analysed["lines"]["middle"]["left_to_right"] == 34


def test_a_cameras_own_lines_and_directions_are_used(
    run: Run, store: ConfigStore, stored: Path, tmp_path: Path
) -> None:
    folder = store.folder / "cameras.d"
    folder.mkdir()
    (folder / "lanes.yaml").write_text(json.dumps(moving.camera("lanes", tmp_path / "clip.mp4")))
    truth = write_truth(tmp_path / "t.csv", true_times())
    data = found(run("evaluate", str(stored), "--truth", str(truth), "--camera", "lanes", "--json"))
    assert data["by_direction"]["middle right"]["true"] == 17
    assert data["overall"]["gross"] == 0
    unknown = run("evaluate", str(stored), "--truth", str(truth), "--camera", "nobody")
    assert unknown.exit_code == Exit.CONFIG
    assert "nobody" in unknown.stderr


def test_two_files_of_detections_are_compared_error_by_error(run: Run, stored: Path, tmp_path: Path) -> None:
    blind = blind_after(stored, 150, tmp_path / "blind.npz")  # 6 s
    truth = write_truth(tmp_path / "t.csv", true_times())
    report = tmp_path / "r.html"
    compare = ("--compare", str(blind), str(stored), "--report", str(report))
    result = found(run("evaluate", "--truth", str(truth), *compare, *LINE, "--json", "--gate", "gross<=0"))
    missing = sum(t > 6.0 for t in true_times())
    change = result["differences"]["gross"]
    assert result["a"]["overall"]["missed"] == change["a"] >= missing
    assert change["b"] == 0
    assert change["difference"] == -change["a"]
    assert change["difference_95"][0] < change["difference"] < change["difference_95"][1] <= 0
    page = report.read_text()
    assert "Compared" in page
    assert page.count("<figure>") == change["a"]
    scored = run("evaluate", "--truth", str(truth), *compare, *LINE, "--score", "0.5")
    assert scored.exit_code == Exit.CONFIG
    assert "leave --score out" in scored.stderr


# ---- gates and the report


def test_a_gate_that_is_not_met_ends_in_its_code_after_the_tables(
    run: Run, stored: Path, tmp_path: Path
) -> None:
    truth = write_truth(tmp_path / "t.csv", true_times()[1:])
    arguments = ("evaluate", str(stored), "--truth", str(truth), *LINE)
    kept = run(*arguments, "--gate", "gross<=10%")
    assert kept.exit_code == Exit.OK
    assert "gross<=10%: 6.25%, met" in kept.stdout
    broken = run(*arguments, "--gate", "gross<=5%", "--json")
    assert broken.exit_code == Exit.GATE == 11
    assert json.loads(broken.stdout)["gates"] == [{"gate": "gross<=5%", "value": 6.25, "met": False}]
    assert broken.stderr.splitlines()[-1] == "error: gate not met: gross<=5%: 6.25%, not met"


def pictures(page: str) -> list[np.ndarray[Any, Any]]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(t), np.uint8), cv2.IMREAD_COLOR) for t in found]


def test_the_report_stands_alone_and_shows_each_error_on_its_frame(
    run: Run, clip: Path, tmp_path: Path
) -> None:
    times = true_times()
    truth = write_truth(tmp_path / "t<b>.csv", times[1:], "2,middle,left,object")
    report = tmp_path / "r.html"
    result = run("evaluate", str(clip), "--truth", str(truth), *LINE, *MOTION, "--report", str(report))
    assert result.exit_code == Exit.OK, result.stderr
    page = report.read_text()
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "@import" not in page
    assert "url(" not in page
    assert "t&lt;b&gt;.csv" in page
    assert "t<b>.csv" not in page
    assert "Misses (1)" in page
    assert "False counts (1)" in page
    missed, false = pictures(page)
    assert missed.shape == false.shape == (moving.HEIGHT, moving.WIDTH, 3)
    # At the false count a square is on the line: its colour, which neither line nor ground has, is there.
    near = false[:, moving.WIDTH // 2 - 14 : moving.WIDTH // 2 + 14].astype(int)
    assert ((near.max(axis=2) - near.min(axis=2)) > 120).sum() > 100


def test_stored_detections_are_drawn_without_a_clip_and_shown_on_it_when_it_is_named(
    run: Run, clip: Path, stored: Path, tmp_path: Path
) -> None:
    truth = write_truth(tmp_path / "t.csv", true_times()[1:])
    shown = []
    for name, more in (("drawn", ()), ("video", ("--video", str(clip)))):
        report = tmp_path / f"{name}.html"
        arguments = ("evaluate", str(stored), "--truth", str(truth), *LINE, "--report", str(report), *more)
        assert run(*arguments).exit_code == Exit.OK
        shown.append(pictures(report.read_text())[0])
    assert np.median(shown[0]) == pytest.approx(48, abs=3)  # the ground of a drawing
    assert np.median(shown[1]) > 60  # the clip's


def test_who_was_missed_is_framed_where_the_truth_has_boxes(run: Run, stored: Path, tmp_path: Path) -> None:
    blind = blind_after(stored, 150, tmp_path / "blind.npz")
    truth, report = write_boxes(tmp_path / "gt.txt"), tmp_path / "r.html"
    done = run("evaluate", str(blind), "--truth", str(truth), *LINE, "--report", str(report), "--json")
    shown = pictures(report.read_text())
    assert len(shown) == found(done)["overall"]["missed"] >= 7
    for picture in shown:
        blue, green, red = (picture[:, :, i].astype(int) for i in range(3))
        _, columns = np.nonzero((red > 200) & (green < 130) & (blue < 130))
        assert len(columns) > 4 * moving.SIDE
        # Its right edge passes the middle of the picture with the square's own half.
        assert abs(columns.max() - moving.WIDTH / 2) < moving.SIDE + 30


def test_pictures_of_another_video_are_refused(run: Run, stored: Path, tmp_path: Path) -> None:
    short = moving.write_moving_clip(tmp_path / "short.mp4", 0.8)
    truth = write_truth(tmp_path / "t.csv", true_times()[1:])
    more = ("--report", str(tmp_path / "r.html"), "--video", str(short))
    result = run("evaluate", str(stored), "--truth", str(truth), *LINE, *more)
    assert result.exit_code == Exit.SOURCE
    assert "the video of these detections" in result.stderr
    assert not (tmp_path / "r.html").exists()


# ---- truth and arguments that do not fit


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("13:00,middle,right", "t.csv:1: 13:00 (780 s) lies beyond the clip's end"),
        ("3,center,right", "t.csv:1: there is no line 'center' (known: middle)"),
        ("3,middle,up", "t.csv:1: line middle has no direction 'up' (its two: right and left)"),
        ("soon,middle,right", "t.csv:1: time 'soon'"),
        ("", "no crossing in it"),
        ("301,1,10,10,20,20,1,-1,-1,-1", "has frame 301, but the clip has 300"),
        ("1,1,400,10,20,20,1,-1,-1,-1", "outside the picture of 320x180"),
    ],
)
def test_truth_of_another_clip_ends_in_one_line(
    rows: str, said: str, run: Run, stored: Path, tmp_path: Path
) -> None:
    truth = tmp_path / "t.csv"
    truth.write_text(rows)
    result = run("evaluate", str(stored), "--truth", str(truth), *LINE, "--json")
    assert result.exit_code == Exit.CONFIG
    assert said in result.stderr
    assert result.stdout == ""


def test_a_truth_that_ends_early_is_said(run: Run, stored: Path, tmp_path: Path) -> None:
    truth = write_boxes(tmp_path / "gt.txt")
    half = [row for row in truth.read_text().splitlines() if int(row.split(",")[0]) <= 150]
    truth.write_text("\n".join(half))
    data = found(run("evaluate", str(stored), "--truth", str(truth), *LINE, "--json"))
    assert any("ends with frame 150 of 300" in text for text in data["warnings"])
    assert data["overall"]["false"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--gate", "gross=5%"], Exit.CONFIG, "gross<=5%"),
        (["--gate", "speed<=5"], Exit.CONFIG, "no figure 'speed'"),
        (["--gate", "hota>=50"], Exit.CONFIG, "needs truth with boxes"),
        (["--truth-size", "big"], Exit.CONFIG, "1920x1080"),
        (["--truth-size", "320x180"], Exit.CONFIG, "this is a CSV"),
        (["--start", "25:00"], Exit.CONFIG, "07:30"),
        (["--start", "noon"], Exit.CONFIG, "07:30"),
        (["--directions", "door=in,out"], Exit.CONFIG, "no such line"),
        (["--directions", "middle=in"], Exit.CONFIG, "door=in,out"),
        (["--directions", "middle=left_to_right,left"], Exit.CONFIG, "use 1 to 63 of a-z, 0-9 and '-'"),
        (["--directions", "middle=in,in"], Exit.CONFIG, "both directions"),
        (["--camera", "nobody"], Exit.CONFIG, "leave --line"),
        (["--report", "/no/such/folder/r.html"], Exit.STORAGE, "no folder"),
        (["--compare", "motion", "motion"], Exit.CONFIG, "holds detections already"),
        (["--engine", "motion"], Exit.CONFIG, "have their boxes already: leave --engine out"),
        (["--score", "0.5"], Exit.CONFIG, "have their boxes already: leave --score out"),
        (["--model", "motion"], Exit.CONFIG, "have their boxes already: leave --model out"),
        (["--width", "320"], Exit.CONFIG, "have their boxes already: leave --analysis-width out"),
    ],
)
def test_a_wrong_argument_ends_in_one_line(
    arguments: list[str], code: Exit, said: str, run: Run, stored: Path, tmp_path: Path
) -> None:
    truth = write_truth(tmp_path / "t.csv", true_times())
    result = run("evaluate", str(stored), "--truth", str(truth), *LINE, *arguments)
    assert result.exit_code == code, result.stderr
    assert said in result.stderr


def test_no_clip_and_no_truth_are_told(run: Run, tmp_path: Path) -> None:
    truth = write_truth(tmp_path / "t.csv", [1.0])
    assert "give a CLIP" in run("evaluate", "--truth", str(truth), *LINE).stderr
    absent = run("evaluate", "clip.mp4", "--truth", str(tmp_path / "none.csv"), *LINE)
    assert absent.exit_code == Exit.SOURCE
    assert "the truth cannot be read" in absent.stderr
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    assert "not UTF-8" in run("evaluate", "clip.mp4", "--truth", str(binary), *LINE).stderr
