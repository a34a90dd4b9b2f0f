"""`streamer demo`: the whole system for a moment, right in its counts, and gone without a trace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from streamer.cli.demo_actions import ActionBoard
from streamer.cli.demo_board import Board, Truth
from streamer.cli.demo_stage import Stage
from streamer.errors import Exit
from streamer.sources.synthetic import Scene
from streamer.sources.synthetic.acts import ActTruth
from streamer.sources.synthetic.truth import boxes
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]
# A street that somebody crosses in every 6 s of its first minute, whenever the comparison begins.
BUSY = ("--seed", "22")
SCENE = Scene(seed=3, width=640, height=360, fps=15.0, density=0.7, mast=8.0)


def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`streamer demo` as its own process, for a user without a configuration or a model."""
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(folder),
        "STREAMER_CONFIG": str(folder / "none"),
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }
    command = [sys.executable, "-m", "streamer.cli.main", "demo", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )


def left_behind(folder: Path) -> list[str]:
    """What a demo that was begun in `folder` has there, and processes that work on it."""
    made = f"{folder}/streamer-demo-"
    daemons = [
        str(p.info["cmdline"])
        for p in psutil.process_iter(["cmdline"])
        if any(word.startswith(made) for word in p.info["cmdline"] or ())
    ]
    return [str(path) for path in folder.glob("streamer-demo-*")] + daemons


@pytest.mark.slow
def test_it_shows_frames_and_counts_from_the_stream_and_cleans_up(short_dir: Path) -> None:
    demo = begin(short_dir, "--seconds", "12", "--model", "motion", *BUSY)
    out, errors = demo.communicate(timeout=patient(120))
    assert demo.returncode == Exit.OK, errors
    assert "$ streamer camera add demo 'synthetic:street" in out
    assert "$ streamer line add demo street" in out
    rows = re.findall(r"│ street │ object │ (\w+) +│ +(\d+) │ +(\d+) │", out)
    assert rows
    for direction, counted, true in rows:
        assert abs(int(counted) - int(true)) <= 1, (direction, out)  # a motion detector on a loaded machine
    assert "daemon stopped with exit code 0" in out
    assert "streamer camera add door rtsp://" in out
    assert "Actions on" not in out  # motion knows no people
    assert left_behind(short_dir) == []


@pytest.mark.slow
def test_without_a_model_the_detector_in_the_package_looks_and_actions_are_told_beside_the_truth(
    short_dir: Path,
) -> None:
    demo = begin(short_dir, "--seconds", "10", *BUSY)
    out, errors = demo.communicate(timeout=patient(120))
    assert demo.returncode == Exit.OK, errors
    assert "the detector is default (in the package)" in out
    assert "--pipeline actions" in out
    assert re.search(r"│ street │ (person|vehicle|bicycle) ", out)
    assert "│ object │" not in out
    assert "of these found" in out[out.index("Actions on the Redis stream") :]


@pytest.mark.slow
@pytest.mark.parametrize("asked_by", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_its_daemon_when_it_is_stopped(asked_by: signal.Signals, short_dir: Path) -> None:
    demo = begin(short_dir, "--seconds", "60")
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("$ streamer line add"):
            break
    assert left_behind(short_dir) != []  # it was there
    demo.send_signal(asked_by)
    _, errors = demo.communicate(timeout=patient(60))
    assert demo.returncode == 130
    assert "Traceback" not in errors
    deadline_s = time.monotonic() + patient(10)
    while left_behind(short_dir) and time.monotonic() < deadline_s:
        time.sleep(0.05)  # a command that it was just running ends by itself
    assert left_behind(short_dir) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--clip", "no-such.mp4"], Exit.SOURCE, "no such file"),
        (["--clip", "text.mp4"], Exit.SOURCE, "not a video"),
        (["--model", "text.mp4"], Exit.MODEL, "text.mp4"),
        (["--model", "none"], Exit.MODEL, "no model"),
        (["--seconds", "0"], Exit.USAGE, "--seconds"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_stays(
    arguments: list[str], code: Exit, said: str, short_dir: Path
) -> None:
    (short_dir / "text.mp4").write_text("no video, and no model")
    demo = begin(short_dir, *arguments)
    _, errors = demo.communicate(timeout=patient(90))
    assert demo.returncode == code, errors
    assert said in errors
    assert "Traceback" not in errors
    assert left_behind(short_dir) == []


# ---- the comparison with the truth


def test_riders_are_persons_to_a_model_and_part_of_their_bicycle_to_motion() -> None:
    busy = Scene(seed=7, width=640, height=360, fps=15.0, density=0.5, bicycles=4.0)
    seen = {motion: Truth(busy, busy.line(), motion).counts(0.0, 60.0).total() for motion in (True, False)}
    groups = {group for _, group, _ in Truth(busy, busy.line(), False).counts(0.0, 60.0)}
    assert seen[False] > seen[True]
    assert groups == {"person", "vehicle", "bicycle"}


def test_the_compared_span_begins_and_ends_away_from_any_crossing() -> None:
    truth = Truth(SCENE, SCENE.line(), motion=True)
    times = [c.time_s for c in Truth(SCENE, SCENE.line(), motion=True).crossings_until(60)]
    assert len(times) > 10
    for asked in range(2, 50):
        for found in (truth.clear_after(asked), truth.clear_before(asked)):
            assert min(abs(t - found) for t in times) >= 0.999


def test_actions_on_the_stream_are_held_against_who_was_there() -> None:
    scene = replace(SCENE, acts=0.5, fps=12.0)
    known = ActTruth(scene)
    known.follow(20.0)
    fall = next(act for act in known.acts if act.label == "fall")
    world = scene.world()
    view = world.view(scene.width, scene.height)
    at_s = fall.start_s + 1.0
    lying = next(b for b in boxes(scene, world, view, round(at_s * scene.fps)) if b.ident == fall.ident)
    box = [v / (scene.width, scene.height)[i % 2] for i, v in enumerate(lying.box)]
    event = {"action": "fall", "start_media_ns": at_s * 1e9, "end_media_ns": at_s * 1e9, "box_xyxyn": box}
    board = ActionBoard(ActTruth(scene))
    assert board.take(event).right is True
    assert board.take({**event, "action": "run"}).right is False
    rows = {row[0]: row[1:] for row in board.rows(5.0, 15.0)}
    assert rows["fall"] == ("1", "1", "1", "1.0 s", "0")
    assert rows["run"][0::4] == ("1", "1")
    assert ActionBoard().rows(0.0, 9.0) == []


def test_a_board_without_truth_shows_counts_alone() -> None:
    board = Board()
    board.crossings.append({"line": "l", "group": "person", "direction": "in", "crossed_media_ns": 0})
    assert board.counted() == {("l", "person", "in"): 1}
    assert "truth" not in board.line(0, 5.0)


# ---- its folder


def test_it_works_where_temporary_files_are_wanted_unless_sockets_find_no_room_there(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = short_dir / ("deep" * 20)
    deep.mkdir()
    for wanted, where in ((short_dir, short_dir), (deep, Path("/tmp"))):
        monkeypatch.setattr(tempfile, "tempdir", str(wanted))
        with Stage(bucket_s=1, models=None) as stage:
            assert stage.folder.parent == where
        assert not stage.folder.exists()
