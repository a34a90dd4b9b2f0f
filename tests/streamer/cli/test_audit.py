"""`streamer audit CAMERA --clip`: a person answers by a pipe about a clip whose crossings are known."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from pipelines.values import Detections, Image, Labels
from streamer.cli.audit_screen import Line, TerminalScreen, half_blocks
from streamer.clips.stored_detections import DetectionLog
from streamer.config.store import ConfigStore
from streamer.errors import Exit
from tests import moving
from tests.streamer.cli.conftest import Daemon, Run

SECONDS = 24
PHANTOM_Y = 0.5  # where boxes go with nothing in the picture
PHANTOMS_S = (4.0, 13.0)  # when they cross the middle
SEEN_LANES = (0, 2)  # the detector is blind to the lane between
BUCKET_S = 3.7  # no passage lies at an end of it


def passages(lanes: tuple[int, ...] = (0, 1, 2)) -> list[float]:
    """When a square's centre passes the middle, by arithmetic."""
    middle = moving.WIDTH / 2 - moving.SIDE / 2
    found = []
    for lane in lanes:
        x = [moving.lane_x(lane, n / moving.FPS) for n in range(SECONDS * moving.FPS)]
        found += [n / moving.FPS for n in range(1, len(x)) if x[n - 1] < middle <= x[n]]
    return sorted(t for t in found if t > moving.LEARNING_S)


def boxes_at(number: int) -> list[tuple[float, float, float, float]]:
    """What the detector of this test finds in a frame: two lanes of three, and phantoms in the third."""
    t_s, found = number / moving.FPS, []
    for lane in SEEN_LANES:
        x, height = moving.lane_x(lane, t_s), moving.HEIGHT // moving.LANES
        y = lane * height + (height - moving.SIDE) // 2
        if t_s >= moving.LEARNING_S and 0 <= x <= moving.WIDTH - moving.SIDE:
            found.append((x, y, x + moving.SIDE, y + moving.SIDE))
    for at_s in PHANTOMS_S:
        if abs(t_s - at_s) < 0.8:
            x, y = moving.WIDTH * (0.5 + 0.4 * (t_s - at_s)), moving.HEIGHT * PHANTOM_Y
            found.append((x - 10, y - 10, x + 10, y + 10))
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving.write_moving_clip(tmp_path_factory.mktemp("clip") / "moving.mp4", SECONDS)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Detections of the clip by a detector that errs in known ways."""
    path, log = tmp_path_factory.mktemp("stored") / "moving.npz", DetectionLog()
    size = np.array([moving.WIDTH, moving.HEIGHT] * 2, np.float32)
    for number in range(SECONDS * moving.FPS):
        boxes = np.array(boxes_at(number), np.float32).reshape(-1, 4) / size
        scores, classes = np.full(len(boxes), 0.9, np.float32), np.zeros(len(boxes), np.int32)
        log.add(round(number * 1e9 / moving.FPS), Detections(boxes.astype(np.float32), scores, classes))
    shape = (moving.WIDTH, moving.HEIGHT)
    labels = Labels(("object",), ("object",))
    aspect = moving.WIDTH / moving.HEIGHT
    log.write(path, clip="moving.mp4", size=shape, fps=moving.FPS, labels=labels, detector={}, aspect=aspect)
    return path


@pytest.fixture
def door(store: ConfigStore, clip: Path) -> ConfigStore:
    document = {**moving.camera("door", clip), "model": "motion"}
    (store.folder / "cameras.d").mkdir()
    store.camera_file("door").write_text(yaml.safe_dump(document))
    return store


class Person:
    """Knows the truth; learns the order of the questions from a file of answers."""

    def __init__(self, run: Run, clip: Path, stored: Path, folder: Path) -> None:
        self._run, self._folder = run, folder
        self._asked = (
            "audit",
            "door",
            "--clip",
            str(clip),
            "--detections",
            str(stored),
            "--bucket-s",
            str(BUCKET_S),
        )

    def questions(self, *options: str) -> list[str]:
        path = self._folder / "order.jsonl"
        path.unlink(missing_ok=True)
        done = self._run(*self._asked, "--answers", str(path), *options, stdin="u\n" * 500)
        assert done.exit_code == 0, done.output
        return [json.loads(line)["question"] for line in path.read_text().splitlines()[1:]]

    def right(self, key: str) -> str:
        kind, _, direction, *rest = key.split("/")
        at_s = float(rest[-1])
        if kind == "crossing":
            return "n" if any(abs(at_s - phantom_s) < 0.3 for phantom_s in PHANTOMS_S) else "y"
        if direction == "left":
            return "0"
        return str(sum(at_s <= t_s < at_s + BUCKET_S for t_s in passages()))

    def audit(self, *options: str, count: int = 500) -> dict[str, Any]:
        keys = self.questions(*[o for o in options if o not in ("--json",)])[:count]
        lines = "".join(f"{self.right(key)}\n" for key in keys)
        done = self._run(*self._asked, "--json", "--number", str(count), *options, stdin=lines)
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def person(run: Run, door: ConfigStore, clip: Path, stored: Path, tmp_path: Path) -> Person:
    assert door.file
    return Person(run, clip, stored, tmp_path)


def test_with_all_questions_answered_the_misses_and_false_counts_are_those_that_were_made(
    person: Person,
) -> None:
    found = person.audit()
    right, left, whole = found["estimates"]
    true, seen = len(passages()), len(passages(SEEN_LANES))
    assert (right["name"], left["name"], whole["name"]) == ("middle right", "middle left", "all")
    assert right["counted"] == pytest.approx(seen + len(PHANTOMS_S), abs=1)  # one at the clip's very end
    assert (right["true"], right["low"], right["high"]) == (true, true, true)
    assert right["missed"] == pytest.approx(true - seen, abs=1)
    assert right["false"] == pytest.approx(len(PHANTOMS_S), abs=1)  # counted just beyond a bucket's end
    assert (left["counted"], left["true"], whole["true"]) == (0, 0, true)


def test_some_answers_give_an_interval_around_the_truth(person: Person) -> None:
    found = person.audit("--seed", "3", count=10)
    right = found["estimates"][0]
    assert found["answers"] == 10
    assert right["low"] < len(passages()) < right["high"]


def test_the_end_of_the_pipe_ends_the_audit_with_what_there_is(
    run: Run, door: ConfigStore, clip: Path, stored: Path
) -> None:
    asked = ("audit", door.load().cameras[0].name, "--clip", str(clip), "--detections", str(stored))
    done = run(*asked, stdin="4\ny\n")
    assert done.exit_code == 0
    assert "line middle right: counted" in done.stdout
    assert "90%:" in done.stdout
    whole = done.stdout.splitlines()[-1]
    assert whole.startswith("all: counted")
    assert whole.endswith("not every direction was answered: the error of all is not known")
    nothing = run(*asked, stdin="")
    assert nothing.stdout == "no answers: nothing is known of the error\n"


def test_what_is_no_answer_is_asked_again(run: Run, door: ConfigStore, clip: Path, stored: Path) -> None:
    asked = ("audit", "door", "--clip", str(clip), "--detections", str(stored), "--number", "2")
    done = run(*asked, stdin="perhaps\n-1\n4\n12\nn\n")
    assert "'perhaps': answer with a number, or one of u, s, b, q" in done.stderr
    assert "'12': answer with one of y, n, u, s, b, q" in done.stderr
    assert "; 2 answers)" in done.stdout or "1 answer)" in done.stdout
    assert door.file


def test_answers_in_a_file_are_gone_on_with(
    person: Person, run: Run, clip: Path, stored: Path, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    asked = ("audit", "door", "--clip", str(clip), "--detections", str(stored), "--bucket-s", str(BUCKET_S))
    keys = person.questions()
    first = "".join(f"{person.right(key)}\n" for key in keys[:4])
    rest = "".join(f"{person.right(key)}\n" for key in keys[4:10])
    run(*asked, "--answers", str(path), stdin=first)
    done = run(*asked, "--answers", str(path), "--number", "10", "--json", stdin=rest)
    assert json.loads(done.stdout) == person.audit(count=10)
    other = run(*asked, "--answers", str(path), "--seed", "9", stdin="")
    assert other.exit_code == Exit.CONFIG
    assert "answers of another audit (seed differ)" in other.stderr


def test_a_step_back_replaces_the_answer(
    run: Run, door: ConfigStore, clip: Path, stored: Path, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    asked = ("audit", "door", "--clip", str(clip), "--detections", str(stored), "--answers", str(path))
    run(*asked, stdin="4\nb\n5\nq\n")
    records = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert [record["answer"] for record in records] == [4, 5]
    assert records[0]["question"] == records[1]["question"]
    assert door.file


def files_below(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*")}


def test_nothing_is_left_on_disk_unless_it_is_told_to_keep(
    run: Run, door: ConfigStore, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folders = (tmp_path, clip.parent, door.folder)
    before = files_below(*folders)
    done = run("audit", "door", "--clip", str(clip), "--number", "4", stdin="4\ny\n4\ny\n")
    assert done.exit_code == 0, done.output
    assert files_below(*folders) == before
    run("audit", "door", "--clip", str(clip), "--number", "2", "--keep", "kept", stdin="4\ny\n")
    pictures = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert [name[:4] for name in pictures] == ["001-", "002-"]
    assert all("middle" in name and name.endswith(".png") for name in pictures)


def test_the_pictures_show_the_line_and_the_tracks_way(
    run: Run, door: ConfigStore, clip: Path, tmp_path: Path
) -> None:
    run(
        "audit",
        "door",
        "--clip",
        str(clip),
        "--number",
        "2",
        "--keep",
        str(tmp_path / "kept"),
        stdin="4\ny\n",
    )
    (path,) = (tmp_path / "kept").glob("*crossing*")
    image = cv2.imread(str(path)).astype(int)
    asked = np.abs(image - (80, 240, 240)).sum(axis=2) < 60
    line = np.abs(image - (0, 200, 255)).sum(axis=2) < 60
    assert asked.sum() > 200
    assert line.sum() > 50
    assert door.file


# ---- what is refused


def grey(_number: int, width: int, height: int) -> Image:
    return np.full((height, width, 3), 90, np.uint8)


def test_what_cannot_be_audited_is_said_in_one_line(
    run: Run, door: ConfigStore, clip: Path, tmp_path: Path
) -> None:
    def refused(*args: str) -> str:
        done = run("audit", *args, stdin="")
        assert done.exit_code in (Exit.CONFIG, Exit.SOURCE, Exit.RUNNING), done.output
        (line,) = [each for each in done.stderr.splitlines() if each.startswith("error: ")]
        return line

    still = moving.make_clip(tmp_path / "still.mp4", frames=50, width=320, height=180, fps=25, draw=grey)
    bare = {**moving.camera("bare", clip), "model": "motion", "rules": {}}
    door.camera_file("bare").write_text(yaml.safe_dump(bare))
    assert "no camera" in refused("nowhere", "--clip", str(clip))
    assert "streamer line add bare" in refused("bare", "--clip", str(clip))
    assert "no crossing was counted" in refused("door", "--clip", str(still))
    assert "no daemon answers" in refused("door")
    assert "gone.mp4" in refused("door", "--clip", str(tmp_path / "gone.mp4"))


def test_the_video_of_other_detections_is_refused(
    run: Run, door: ConfigStore, stored: Path, tmp_path: Path
) -> None:
    short = moving.write_moving_clip(tmp_path / "short.mp4", 2)
    done = run("audit", "door", "--clip", str(short), "--detections", str(stored), stdin="")
    assert done.exit_code == Exit.SOURCE
    assert "is it the video of these detections?" in done.stderr
    assert door.file


def test_a_clip_of_another_shape_than_the_cameras_is_refused(
    run: Run, door: ConfigStore, clip: Path, daemon: Daemon
) -> None:
    camera = {"name": "door", "width": 640, "height": 480}
    daemon.answers["status"] = lambda request: request.reply({"cameras": [camera]})
    done = run("audit", "door", "--clip", str(clip), stdin="")
    assert done.exit_code == Exit.CONFIG
    assert "give a recording of this camera" in done.stderr
    assert door.file


# ---- the screen


def test_a_number_needs_enter_and_a_key_answers_at_once() -> None:
    line = Line("usbq", numbers=True)
    assert [line.press(key) for key in "1y2\x7f3"] == [None] * 5
    assert line.press("\r") == "13"
    assert Line("ynusbq", numbers=False).press("Y") == "y"
    assert Line("ynusbq", numbers=False).press("3") is None
    assert Line("usbq", numbers=True).press("\n") is None
    assert Line("usbq", numbers=True).press("\x04") == "q"
    with pytest.raises(KeyboardInterrupt):
        Line("q", numbers=True).press("\x03")


def test_a_picture_fits_the_terminal_two_pixels_a_character() -> None:
    image: Image = np.zeros((90, 160, 3), np.uint8)
    image[:45] = (0, 0, 248)  # B, G, R: red above
    segments = half_blocks(image, columns=80, rows=100).segments
    rows = [segment for segment in segments if segment.text == "\n"]
    assert len(rows) == 22  # of 45 pixels the last one would stand alone
    first = segments[0].style
    assert first is not None
    assert first.color is not None
    assert first.color.name == "#f80000"
    assert sum(segment.text == "▀" for segment in segments) == 80 * len(rows)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The far end of a terminal that is this process's input."""
    far, near = os.openpty()
    with ExitStack() as stack:
        stack.callback(os.close, far)
        keyboard = stack.enter_context(os.fdopen(near, "r"))
        monkeypatch.setattr("sys.stdin", keyboard)
        yield far


def test_keys_of_a_terminal_answer_without_enter(terminal: int) -> None:
    _, jpeg = cv2.imencode(".jpg", np.zeros((20, 20, 3), np.uint8))
    os.write(terminal, b"\x1b[A")
    os.write(terminal, b"1")
    os.write(terminal, b"2\n")
    assert TerminalScreen().ask("how many?", [jpeg.tobytes()], "usbq", numbers=True) == "12"
    os.write(terminal, b"n")
    assert TerminalScreen().ask("is it one?", [], "ynusbq", numbers=False) == "n"
