"""`streamer analyze`: right counts on clips with known truth, one JSON object, one line for what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from pipelines.values import Detections, Labels
from streamer.cli.main import cli
from streamer.clips.analysis import Analysis
from streamer.clips.analyze import Outputs, analyze, replay
from streamer.clips.stored_detections import DetectionLog, load_detections
from streamer.errors import Exit, SourceDamaged
from streamer.models.model_handle import open_detector
from streamer.sources.base import ReadOptions
from streamer.sources.synthetic import Scene, create
from streamer.sources.synthetic.truth import CrossingTruth
from tests.clips import make_clip
from tests.patience import patient
from tests.synthetic_clip import write_clip

SCENE = Scene(seed=5, width=640, height=360, fps=15.0, density=0.7, mast=8.0, seconds=40)
LINE = "street=" + ",".join(f"{v:g}" for point in SCENE.line().points for v in point)


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`streamer analyze` as its own process, with a state folder of its own."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder), "STREAMER_CONFIG": str(folder / "none")}
    command = [sys.executable, "-m", "streamer.cli.main", "analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def invoke(folder: Path, *arguments: str | Path) -> Result:
    """Any command, in this process."""
    (folder / "streamer.yaml").write_text(f"state_dir: {folder}/state\n")
    return CliRunner().invoke(cli, ["--config", str(folder), *map(str, arguments)])


def analyze_scene(outputs: Outputs) -> Analysis:
    source = create(SCENE.url, ReadOptions(realtime=False))
    info = source.open()
    detector = open_detector("motion", None)
    return analyze(source, info, detector, SCENE.rules(), clip="street", outputs=outputs)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Analysis, Path]:
    """The scene analysed once, with everything written that can be."""
    folder = tmp_path_factory.mktemp("analysed")
    outputs = Outputs(folder / "out.mp4", folder / "out.jsonl", folder / "out.npz")
    return analyze_scene(outputs), folder


def crossings_of(path: Path) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return [e for e in events if e["type"] == "streamer.line.crossed.v1"]


# ---- counts


def test_motion_counts_what_the_scene_says(analysed: tuple[Analysis, Path]) -> None:
    result, folder = analysed
    truth = [c for c in CrossingTruth(SCENE, [SCENE.line()]).until(SCENE.seconds) if not c.rides]
    expected = [sum(c.side == side for c in truth) for side in ("left_to_right", "right_to_left")]
    assert min(expected) >= 4
    line = result.lines["street"]
    assert [line.left_to_right, line.right_to_left] == expected
    events = crossings_of(folder / "out.jsonl")
    for event, true in zip(sorted(events, key=lambda e: e["data"]["crossed_media_ns"]), truth, strict=True):
        assert event["data"]["side"] == true.side
        assert abs(event["data"]["crossed_media_ns"] / 1e9 - true.time_s) < 1.0


def test_frames_and_duration_are_the_clips(analysed: tuple[Analysis, Path]) -> None:
    result, _ = analysed
    assert result.frames == 600
    assert result.duration_s == pytest.approx(40.0, abs=0.01)


def test_stored_detections_give_the_same_events_again(
    analysed: tuple[Analysis, Path], tmp_path: Path
) -> None:
    result, folder = analysed
    again = replay(
        load_detections(folder / "out.npz"), SCENE.rules(), outputs=Outputs(events=tmp_path / "again.jsonl")
    )
    assert again.lines == result.lines
    assert (tmp_path / "again.jsonl").read_text() == (folder / "out.jsonl").read_text()


def test_a_slow_clip_and_its_stored_detections_give_the_same_events(tmp_path: Path) -> None:
    """Boxes of frames far apart are known by their colours: those are stored too."""
    stored, live, again = (tmp_path / name for name in ("d.npz", "live.jsonl", "again.jsonl"))
    scene = "synthetic:street?seconds=30&fps=4&seed=3"
    run(tmp_path, scene, "--engine", "motion", "--line", LINE, "--detections", stored, "--events", live)
    run(tmp_path, stored, "--line", LINE, "--events", again)
    assert live.read_text() == again.read_text() != ""
    looked = [found.embeddings is not None for _, found in load_detections(stored).frames()]
    assert looked == [False] + [True] * (len(looked) - 1)


def test_stored_looks_are_kept_as_they_are_and_only_where_there_are_some(tmp_path: Path) -> None:
    boxes = np.array([[0.1, 0.1, 0.2, 0.2], [0.3, 0.1, 0.4, 0.2]], np.float32)
    scores, classes = np.ones(2, np.float32), np.zeros(2, np.int32)
    labels = Labels(("person",), ("person",))
    for name, looks in (
        ("byte", [[0, 255, 7], [1, 2, 3]]),
        ("real", [[0.25, -3, 1e6], [0, 0, 0]]),
        ("none", None),
    ):
        log = DetectionLog()
        log.add(0, Detections(boxes, scores, classes))
        given = None if looks is None else np.array(looks, np.float32)
        log.add(1, Detections(boxes, scores, classes, given))
        log.add(2, Detections.empty())
        log.write(tmp_path / name, clip="c", size=(64, 64), fps=25.0, labels=labels, detector={})
        found = [f.embeddings for _, f in load_detections(tmp_path / name).frames()]
        assert found[0] is None
        assert found[2] is None
        assert (found[1] is None) if given is None else np.array_equal(found[1], given)  # type: ignore[arg-type]


def stored_arrays(folder: Path, interval_ns: int = 40_000_000) -> dict[str, np.ndarray[Any, Any]]:
    """Three frames: two boxes with all that boxes can have, none, and one box at the picture's border."""
    log = DetectionLog()
    boxes = np.array([[0.1, 0.1, 0.2, 0.2], [0.3, 0.1, 0.4, 0.2]], np.float32)
    for i, n in enumerate((2, 0, 1)):
        found = Detections(
            np.zeros((1, 4), np.float32) if i == 2 else boxes[:n],
            np.ones(n, np.float32),
            np.zeros(n, np.int32),
            np.ones((n, 3), np.float32),
            np.full((n, 2, 3), 0.5, np.float32),
            low_confidence=Detections(boxes[:n], np.full(n, 0.1, np.float32), np.zeros(n, np.int32)),
        )
        log.add(i * interval_ns, found)
    labels = Labels(("person",), ("person",))
    rest: dict[str, Any] = {"labels": labels, "detector": {}, "joints": ("nose", "tail")}
    log.write(folder / "d.npz", clip="c", size=(64, 64), fps=25.0, aspect=1.0, **rest)
    with np.load(folder / "d.npz") as file:
        return {key: file[key] for key in file.files}


def save(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


BOX = np.array([[0.1, 0.1, 0.2, 0.2]], np.float32)
POSES = np.full((3, 2, 3), 0.5, np.float32)
MS = np.array([0, 1, 2], np.int64) * 1_000_000


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("looks", np.zeros((5, 3), np.uint8)),
        ("looks", np.zeros(3, np.uint8)),
        ("looks", np.full((3, 3), np.nan, np.float32)),
        ("looks", np.full((3, 3), 1e38, np.float32)),
        ("looks", np.zeros((3, 3), np.int8)),
        ("looks", np.zeros((3, 3))),
        ("looks", np.array([["a"], ["b"], ["c"]])),
        ("looked", np.ones(9, np.bool_)),
        ("looked", np.ones(3)),
        ("detector", np.array("[]")),
        ("detector", np.array("null")),
        ("detector", np.array("7")),
        ("detector", np.array("{")),
        ("size", np.array([np.inf, 64, 25])),
        ("size", np.array([64, 0, 25])),
        ("size", np.array([-64, 64, 25])),
        ("size", np.array([np.nan, 64, 25])),
        ("size", np.array([64, 64, np.nan])),
        ("size", np.array([64, 64, np.inf])),
        ("size", np.array([64, 64, -25])),
        ("size", np.array([64, 64])),
        ("size", np.array(["64", "64", "25"])),
        ("aspect", np.array(np.nan)),
        ("aspect", np.array(-1)),
        ("aspect", np.ones(2)),
        ("sure_score", np.array(np.nan)),
        ("sure_score", np.array("1")),
        ("media_ns", MS[:0]),
        ("media_ns", MS[:, None]),
        ("media_ns", MS.astype(float)),
        ("media_ns", MS[[0, 1, 1]]),
        ("media_ns", MS[[0, 2, 1]]),
        ("media_ns", MS - 1),
        ("offsets", np.array([0.0, 2, 2, 3])),
        ("offsets", np.array([[0], [2], [2], [3]])),
        ("offsets", np.array([1, 2, 2, 3])),
        ("offsets", np.array([0, 2, 1, 3])),
        ("offsets", np.array([0, 2, 2, 4])),
        ("offsets", np.array([0, 2, 3])),
        ("boxes", np.repeat(BOX, 2, axis=0)),
        ("boxes", np.repeat(BOX, 3, axis=0).astype(float)),
        ("boxes", np.array(0.5, np.float32)),
        ("boxes", np.repeat(BOX, 3, axis=0) * np.float32(np.nan)),
        ("boxes", np.repeat(BOX, 3, axis=0) * np.float32(100)),
        ("boxes", np.repeat(BOX, 3, axis=0)[:, [2, 1, 0, 3]]),
        ("boxes", np.repeat(BOX, 3, axis=0)[:, [0, 3, 2, 1]]),
        ("scores", np.array([1, np.nan, 1], np.float32)),
        ("scores", np.array([1, 1.1, 1], np.float32)),
        ("scores", np.array([1, -0.1, 1], np.float32)),
        ("class_ids", np.array([0, 1, 0], np.int32)),
        ("class_ids", np.array([0, -1, 0], np.int32)),
        ("class_ids", np.zeros(3)),
        ("clip", np.array(3)),
        ("names", np.array([3])),
        ("names", np.array("person")),
        ("groups", np.array(["person", "car"])),
        ("groups", np.array([3.5])),
        ("joints", np.array([1, 2])),
        ("keypoints", POSES[:, :1]),
        ("keypoints", POSES[:2]),
        ("keypoints", POSES * np.float32(np.inf)),
        ("keypoints", POSES * np.float32([100, 100, 1])),
        ("keypoints", POSES * np.float32([1, 1, 9])),
        ("faint_offsets", np.array([0, 2, 3])),
        ("faint_offsets", np.zeros(0, np.int64)),
        ("faint_boxes", np.repeat(BOX, 3, axis=0) * np.float32(100)),
        ("faint_scores", np.array([1, np.nan, 1], np.float32)),
        ("faint_class_ids", np.array([0, 1, 0], np.int32)),
        ("faint_boxes", None),
        ("joints", None),
        ("keypoints", None),
        ("looked", None),
    ],
)
def test_an_array_that_does_not_fit_is_named(
    tmp_path: Path, key: str, bad: np.ndarray[Any, Any] | None
) -> None:
    arrays = stored_arrays(tmp_path)
    del arrays[key]
    path = save(tmp_path / "bad.npz", arrays if bad is None else {**arrays, key: bad})
    with pytest.raises(SourceDamaged, match=rf"do not fit together: .*\b{key} .*: write it again") as raised:
        load_detections(path)
    assert "\n" not in str(raised.value)


def test_arrays_that_are_odd_and_right_are_read(tmp_path: Path) -> None:
    arrays = stored_arrays(tmp_path)
    for change in (
        {"boxes": np.array([[-0.1, 0, 1.1, 1], [0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1]], np.float32)},
        {"scores": np.array([0, 1.0005, 1], np.float32)},
        {"keypoints": np.float32(POSES * [3.9, -1.9, 0])},
        {"size": np.array([64, 64, 0.0])},  # the clip does not say how many frames a second
        {"media_ns": MS * 1000 + 5},
    ):
        load_detections(save(tmp_path / "odd.npz", arrays | change))
    earlier = ("aspect", "sure_score", "looks", "looked", "joints", "keypoints")
    kept = {key: a for key, a in arrays.items() if key not in earlier and not key.startswith("faint")}
    stored = load_detections(save(tmp_path / "earlier.npz", kept))
    assert stored.lacks_low_confidence
    assert (stored.aspect, stored.low_confidence, stored.embeddings) == (0.0, None, None)


def test_a_clip_of_which_nothing_was_found_is_stored_and_read(tmp_path: Path) -> None:
    log = DetectionLog()
    log.add(0, Detections.empty())
    log.add(200_000_000, Detections.empty())
    log.write(tmp_path / "d.npz", clip="", size=(64, 64), fps=5.0, labels=Labels((), ()), detector={})
    stored = load_detections(tmp_path / "d.npz")
    assert [len(found) for _, found in stored.frames()] == [0, 0]
    assert not stored.lacks_embeddings


@pytest.mark.parametrize(("interval_ms", "far"), [(94, False), (95, True)])
def test_boxes_of_frames_far_apart_without_looks_are_of_an_earlier_version(
    tmp_path: Path, interval_ms: int, far: bool
) -> None:
    arrays = stored_arrays(tmp_path, interval_ms * 1_000_000)
    assert not load_detections(tmp_path / "d.npz").lacks_embeddings
    without = {key: array for key, array in arrays.items() if key not in ("looks", "looked")}
    assert load_detections(save(tmp_path / "old.npz", without)).lacks_embeddings is far


def test_analyze_and_evaluate_say_that_looks_are_missing(tmp_path: Path) -> None:
    arrays = stored_arrays(tmp_path, 200_000_000)
    without = {key: array for key, array in arrays.items() if key not in ("looks", "looked")}
    old = save(tmp_path / "old.npz", without)
    (tmp_path / "truth.csv").write_text("time,line,direction\n0:00.1,l,left-to-right\n")
    for asked in (("analyze",), ("evaluate", "--truth", str(tmp_path / "truth.csv"))):
        for path, warned in ((old, True), (tmp_path / "d.npz", False)):
            done = invoke(tmp_path, *asked, path, "--line", "l=0.5,0,0.5,1")
            assert done.exit_code == Exit.OK, done.output
            lines = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
            assert len(lines) == warned
            assert all(f"{path} is of an earlier version" in line for line in lines)
            assert all("if the clip has colours" in line for line in lines)


def test_stored_detections_tell_which_boxes_are_low(tmp_path: Path) -> None:
    log = DetectionLog()
    box = np.array([[0.1, 0.1, 0.2, 0.2]], np.float32)
    log.add(0, Detections.empty())
    log.add(40_000_000, Detections(box, np.ones(1, np.float32), np.zeros(1, np.int32), high_threshold=0.5))
    labels = Labels(("person",), ("person",))
    log.write(tmp_path / "d.npz", clip="c", size=(64, 64), fps=25.0, labels=labels, detector={})
    assert [found.high_threshold for _, found in load_detections(tmp_path / "d.npz").frames()] == [0.5, 0.5]


def test_the_rendered_clip_has_every_frame_and_shows_the_line(analysed: tuple[Analysis, Path]) -> None:
    _, folder = analysed
    plain = SCENE.painter()
    (x1, y1), (x2, y2) = SCENE.line().points
    with av.open(str(folder / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        frames = [f.to_ndarray(format="bgr24") for f in container.decode(stream)]
    assert len(frames) == 600
    x, y = round((x1 * 0.8 + x2 * 0.2) * 640), round((y1 * 0.8 + y2 * 0.2) * 360)
    drawn, bare = frames[300][y, x - 2 : x + 3], SCENE.picture(plain, 300)[y, x - 2 : x + 3]
    assert (drawn[:, 2].astype(int) - drawn[:, 0]).max() > 80  # orange
    assert (bare[:, 2].astype(int) - bare[:, 0]).max() < 60


def test_the_command_prints_one_json_object_and_nothing_else(tmp_path: Path) -> None:
    clip = tmp_path / "street.mp4"
    write_clip(Scene(seed=3, density=0.7, mast=8.0, seconds=20), clip)
    done = run(tmp_path, clip, "--engine", "motion", "--line", LINE, "--json")
    assert done.returncode == Exit.OK, done.stderr
    found = json.loads(done.stdout)
    assert found["frames"] == 300
    assert found["duration_s"] == pytest.approx(20.0, abs=0.1)
    line = found["lines"]["street"]
    assert set(line) == {"left_to_right", "right_to_left", "by_class", "intervals"}
    assert line["by_class"] == {
        "object": {"left_to_right": line["left_to_right"], "right_to_left": line["right_to_left"]}
    }
    assert line["left_to_right"] + line["right_to_left"] > 3
    assert "object" in done.stderr  # that motion did it is said


def test_pixels_and_shares_draw_the_same_line(tmp_path: Path) -> None:
    stored = tmp_path / "d.npz"
    analyze_arguments = ["synthetic:street?seconds=12", "--engine", "motion", "--json"]
    shares = run(tmp_path, *analyze_arguments, "--line", "l=0.5,0,0.5,1", "--detections", stored)
    pixels = run(tmp_path, stored, "--json", "--pixels", "--line", "l=320,0,320,360")
    assert json.loads(shares.stdout)["lines"] == json.loads(pixels.stdout)["lines"]
    assert json.loads(shares.stdout)["lines"]["l"]["by_class"]


def test_stored_detections_refuse_what_would_make_boxes(tmp_path: Path) -> None:
    stored = tmp_path / "d.npz"
    run(tmp_path, "synthetic:street?seconds=2", "--engine", "motion", "--detections", stored)
    preset = ("--pipeline", "people-counting", "--classes", "object")
    assert run(tmp_path, stored, "--line", LINE, *preset).returncode == Exit.OK
    made_by = (("score", "0.6"), ("model", "motion"), ("engine", "motion"), ("analysis-width", "640"))
    for option, value in made_by:
        done = run(tmp_path, stored, "--line", LINE, f"--{option}", value)
        assert done.returncode == Exit.CONFIG
        assert f"have their boxes already: leave --{option} out" in done.stderr, done.stderr


def test_without_json_it_prints_a_table(tmp_path: Path) -> None:
    done = run(tmp_path, "synthetic:street?seconds=8", "--engine", "motion", "--line", LINE)
    assert done.returncode == Exit.OK
    assert "left to right" in done.stdout
    assert "120 frames" in done.stdout


def test_the_table_names_the_directions_as_the_lines_do(tmp_path: Path) -> None:
    stored = tmp_path / "d.npz"
    scene = "synthetic:street?seconds=8"
    run(tmp_path, scene, "--engine", "motion", "--line", LINE, "--detections", stored)
    for inward, heads in (("left", r"out \(left to right\) +. in \(right to left\)"),
                          ("right", r"in \(left to right\) +. out \(right to left\)")):  # fmt: skip
        told = run(tmp_path, stored, "--line", LINE, "--in", inward).stdout
        assert re.search(heads, told), told
    rules = tmp_path / "rules.yaml"
    lines = [
        {"name": n, "points": [[0.5, 0], [0.5, 1]], "left_to_right": n + "ward"} for n in ("east", "west")
    ]
    rules.write_text(json.dumps({"lines": lines}))
    told = run(tmp_path, stored, "--rules", rules).stdout
    assert re.search(r"east .*all .* \d+ \(\d+–\d+\) eastward .* \d+ \(\d+–\d+\) right-to-left", told), told
    assert re.search(r"west .*all .* \d+ \(\d+–\d+\) westward", told)


# ---- what is wrong


def truncated(path: Path) -> Path:
    """An MPEG-4 file whose index comes first, cut in the middle."""
    whole = make_clip(path.with_suffix(".whole.mp4"), frames=100, container_options={"movflags": "faststart"})
    raw = whole.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    whole.unlink()
    return path


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def bad_clip(kind: str, folder: Path) -> Path:
    path = folder / "clip.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no video\n" * 50)
    elif kind == "truncated":
        truncated(path)
    elif kind == "headless":
        path.write_bytes(make_clip(folder / "whole.mp4").read_bytes()[:3000])
        (folder / "whole.mp4").unlink()
    elif kind == "audio":
        audio_only(path)
    return path


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "headless", "audio", "missing"])
def test_a_clip_that_is_none_ends_in_one_line_and_writes_nothing(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    clip = bad_clip(kind, folder)
    before = sorted(folder.iterdir())
    outputs: list[str | Path] = [
        "--render",
        folder / "o.mp4",
        "--events",
        folder / "o.jsonl",
        "--detections",
        folder / "o.npz",
    ]
    done = run(tmp_path, clip, "--engine", "motion", "--line", LINE, "--json", *outputs)
    assert done.returncode == Exit.SOURCE, done.stderr
    assert_one_error(done)
    assert sorted(folder.iterdir()) == before


def test_a_truncated_clip_is_counted_as_far_as_it_goes_when_asked(tmp_path: Path) -> None:
    clip = truncated(tmp_path / "clip.mp4")
    done = run(tmp_path, clip, "--engine", "motion", "--json", "--partial")
    assert done.returncode == Exit.OK
    assert 10 < json.loads(done.stdout)["frames"] < 90


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--line", "door"], Exit.CONFIG, "NAME=x1,y1,x2,y2"),
        (["--line", "door=0.1,0.2,0.3"], Exit.CONFIG, "3 numbers"),
        (["--line", "door=0.1,0.2"], Exit.CONFIG, "2 points or more"),
        (["--line", "door=a,b,c,d"], Exit.CONFIG, "numbers"),
        (["--line", "door=nan,0,1,1"], Exit.CONFIG, "finite"),
        (["--line", "../door=0,0,1,1"], Exit.CONFIG, "name"),
        (["--line", "door=0,0,1,1", "--line", "door=0,0,1,0.5"], Exit.CONFIG, "twice"),
        (["--line", "door=0,0,640,360"], Exit.CONFIG, "--pixels"),
        (["--line", "door=0,0,641,360", "--pixels"], Exit.CONFIG, "640x360"),
        (["--line", "door=-0.1,0,1,1"], Exit.CONFIG, "outside"),
        (["--line", "door=0.5,0.5,0.5,0.5"], Exit.CONFIG, "length"),
        (["--zone", "shop=0,0,1,1"], Exit.CONFIG, "3 points"),
        (["--zone", "shop=0,0,1,1,1,0,0,0.8"], Exit.CONFIG, "cross"),
        (["--classes", "unicorn"], Exit.CONFIG, "unicorn"),
        (["--pipeline", "nothing"], Exit.CONFIG, "default"),
        (["--model", "no-such-model"], Exit.CONFIG, "no model"),
        (["--events", "/no/such/folder/e.jsonl"], Exit.STORAGE, "folder"),
        (["--render", "out.txt"], Exit.CONFIG, "out.txt: a clip is written as .mp4, "),
        (["--render", "/proc/out.mp4"], Exit.STORAGE, "cannot be written"),
        (["--events", "/tmp"], Exit.STORAGE, "is a folder"),
        (["--events", "/tmp/x", "--detections", "/tmp/x"], Exit.CONFIG, "one name"),
    ],
)
def test_a_wrong_argument_ends_in_one_line(
    arguments: Sequence[str], code: Exit, said: str, tmp_path: Path
) -> None:
    done = run(tmp_path, "synthetic:street?seconds=1", "--engine", "motion", "--json", *arguments)
    assert done.returncode == code, done.stderr
    assert_one_error(done)
    assert said in done.stderr


def test_a_model_that_is_none_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("not a model")
    done = run(tmp_path, "synthetic:street?seconds=1", "--json", "--model", tmp_path / "model.onnx")
    assert done.returncode == Exit.MODEL
    assert_one_error(done)


@pytest.mark.parametrize("option", ["--render", "--events", "--detections"])
def test_an_output_is_not_written_over_the_clip(option: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    before = clip.read_bytes()
    (tmp_path / "same.mp4").symlink_to(clip)
    for name in ("clip.mp4", "same.mp4"):
        done = run(tmp_path, clip, "--model", "motion", "--line", "a=0,0.5,1,0.5", option, tmp_path / name)
        assert done.returncode == Exit.CONFIG
        assert "is read here, and would be lost: give the output another name" in done.stderr
    assert clip.read_bytes() == before


def test_a_scene_without_end_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "synthetic:street", "--json")
    assert done.returncode == Exit.CONFIG
    assert "seconds=" in done.stderr


def test_damaged_stored_detections_are_refused(tmp_path: Path) -> None:
    stored_arrays(tmp_path)
    good = (tmp_path / "d.npz").read_bytes()
    flipped = bytearray(good)
    flipped[80:200] = bytes(byte ^ 0xFF for byte in flipped[80:200])
    how = good.index(b"PK\x01\x02") + 10  # the first array is compressed
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name, content in (
        ("text.npz", b"not a zip"),
        ("empty.npz", b""),
        ("flipped.npz", bytes(flipped)),
        ("method.npz", good[:how] + b"\x63" + good[how + 1 :]),
        ("short.npz", good[:-100]),
        ("array.npz", (tmp_path / "array.npy").read_bytes()),
        ("clip.npz", make_clip(tmp_path / "clip.mp4").read_bytes()),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceDamaged) as raised:
            load_detections(tmp_path / name)
        assert str(raised.value) == (
            f"{tmp_path / name}: not a file of stored detections, or a damaged one: "
            "write it again with streamer analyze CLIP --detections"
        )
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(SourceDamaged, match=r"this version.*: write it again"):
        load_detections(tmp_path / "other.npz")


@pytest.mark.parametrize("clip", [".", "/", ".."])
def test_a_folder_is_no_clip(tmp_path: Path, clip: str) -> None:
    (tmp_path / "truth.csv").write_text("time,line,direction\n0:00.1,l,left-to-right\n")
    for asked in (("analyze",), ("evaluate", "--truth", tmp_path / "truth.csv")):
        done = invoke(tmp_path, *asked, clip, "--line", "l=0.5,0,0.5,1")
        assert done.exit_code == Exit.SOURCE
        assert f"error: {clip}: is a folder: give one video file" in done.stderr


def assert_one_error(done: subprocess.CompletedProcess[str]) -> None:
    errors = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


# ---- real footage


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.parametrize(
    ("clip", "lines", "classes", "expected", "off"),
    [
        ("overpass-cars.mp4", ["up=120,240,640,240"], "vehicle", {"up": (0, 33)}, 2),
        ("street-cars.mp4", ["down=0,160,640,160"], "vehicle", {"down": (8, 0)}, 1),
        (
            "one-by-one-person.mp4",
            ["in=0,330,768,330", "out=600,0,600,432"],
            "person",
            {"in": (0, 6), "out": (0, 6)},
            0,
        ),
    ],
)
def test_real_clips_are_counted_right(
    clip: str,
    lines: list[str],
    classes: str,
    expected: dict[str, tuple[int, int]],
    off: int,
    corpus: Path,
    tmp_path: Path,
) -> None:
    asked = [word for line in lines for word in ("--line", line)]
    model = corpus / "weights" / "yolov8n_640.onnx"
    done = run(
        tmp_path,
        corpus / "videos" / clip,
        "--model",
        model,
        *asked,
        "--pixels",
        "--classes",
        classes,
        "--json",
    )
    assert done.returncode == Exit.OK, done.stderr
    found = json.loads(done.stdout)["lines"]
    for name, (to_right, to_left) in expected.items():
        assert abs(found[name]["left_to_right"] - to_right) <= off, found
        assert abs(found[name]["right_to_left"] - to_left) <= off, found


@pytest.mark.corpus
@pytest.mark.parametrize(("clip", "moves"), [("drifting-camera.mp4", True), ("highway.mp4", False)])
def test_a_view_that_drifts_is_told(clip: str, moves: bool, corpus: Path, tmp_path: Path) -> None:
    video, model = corpus / "videos" / clip, corpus / "weights" / "nanodet_320.onnx"
    done = run(tmp_path, video, "--model", model, "--line", "a=0,0.5,1,0.5", "--json")
    assert done.returncode == Exit.OK, done.stderr
    assert (json.loads(done.stdout)["view_moved"] > 0.05) is moves
    assert ("do not trust these counts" in done.stderr) is moves


@pytest.mark.parametrize("asked_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_is_stopped_half_way_leaves_no_half_file(asked_by: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM left the hidden partial files of every output."""
    (tmp_path / "out").mkdir()
    names = {"--render": "o.mp4", "--events": "o.jsonl", "--detections": "o.npz"}
    outputs = [word for option, name in names.items() for word in (option, f"out/{name}")]
    arguments = ["analyze", "synthetic:street?seconds=600", "--engine", "motion", "--line", LINE, *outputs]
    command = [sys.executable, "-m", "streamer.cli.main", *arguments]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "STREAMER_CONFIG": str(tmp_path / "none")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path, env=environment) as child:
        deadline_s = time.monotonic() + patient(60)
        while sum(path.stat().st_size for path in tmp_path.glob("out/.o.mp4*")) < 10_000:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        child.send_signal(asked_by)
        code = child.wait(patient(20))
        assert child.stderr is not None
        assert b"Traceback" not in child.stderr.read()
    assert code == (130 if asked_by == signal.SIGINT else -asked_by)
    assert list((tmp_path / "out").iterdir()) == []
