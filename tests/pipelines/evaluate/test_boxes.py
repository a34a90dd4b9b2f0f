"""True boxes: read row by row, held against the clip, and their crossings by the rule of the corpus."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.evaluate.boxes import box_crossings, check_boxes, read_mot, side_changes
from pipelines.evaluate.truth import TruthError
from pipelines.rules import LineSpec

SIZE = (100, 100)
MIDDLE = LineSpec(
    name="v", points=((0.5, 1.0), (0.5, 0.0)), left_to_right="greater", right_to_left="lesser", anchor="foot"
)


def walk(xs: list[float], y: float = 40.0, first: int = 1) -> str:
    """One object with its foot at (x, y + 20), 10 wide and 20 high."""
    return "\n".join(f"{first + i},1,{x - 5},{y},10,20,1,-1,-1,-1" for i, x in enumerate(xs))


def crossed(text: str, line: LineSpec = MIDDLE, fps: float = 10.0) -> list[tuple[str, float]]:
    truth = read_mot(text)
    times = [i / fps for i in range(truth.last_frame)]
    return [(c.direction, c.time_s) for c in box_crossings(truth, [line], SIZE, times).crossings]


@pytest.mark.parametrize(
    ("xs", "expected"),
    [
        ([30, 40, 60, 70], [("greater", 0.2)]),
        ([70, 60, 40, 30], [("lesser", 0.2)]),
        ([30, 40, 60], []),  # seen once beyond it
        ([40, 60, 70, 80], []),  # seen once before it
        ([30, 40, 60, 40, 30], []),  # one box that jitters
        ([30, 40, 60, 40, 60, 70], [("greater", 0.4)]),
        ([30, 40, 60, 70, 40, 30], [("greater", 0.2), ("lesser", 0.4)]),
        ([30, 40, 50, 60], [("greater", 0.2)]),  # on the line: the greater side
        ([70, 60, 50, 40, 30], [("lesser", 0.3)]),
    ],
)
def test_two_observations_on_one_side_and_then_two_on_the_other(
    xs: list[float], expected: list[tuple[str, float]]
) -> None:
    assert crossed(walk(xs)) == expected


def test_a_line_drawn_the_other_way_has_the_same_crossings_under_the_other_name() -> None:
    turned = MIDDLE.model_copy(update={"points": MIDDLE.points[::-1]})
    assert crossed(walk([30, 40, 50, 60]), turned) == [("lesser", 0.2)]


def test_beyond_the_end_of_a_line_nothing_crosses_it_unless_the_end_is_at_the_pictures_edge() -> None:
    short = MIDDLE.model_copy(update={"points": ((0.5, 0.5), (0.5, 0.0))})
    assert crossed(walk([30, 40, 60, 70], y=20.0), short)  # foot at 40
    assert not crossed(walk([30, 40, 60, 70], y=60.0), short)  # foot at 80
    assert crossed(walk([30, 40, 60, 70], y=-30.0), short)  # foot above the picture


def test_the_anchor_is_the_lines() -> None:
    level = LineSpec(name="h", points=((0.0, 0.55), (1.0, 0.55)), anchor="center")
    rows = "\n".join(f"{i + 1},1,40,{y},10,20,1,-1,-1,-1" for i, y in enumerate([30, 34, 38, 42, 48, 52]))
    assert crossed(rows, level) == [("left-to-right", 0.4)]
    assert crossed(rows, level.model_copy(update={"anchor": "foot"})) == [("left-to-right", 0.2)]
    assert crossed(rows, level.model_copy(update={"anchor": "auto"})) == [("left-to-right", 0.2)]


def test_runs_of_sides() -> None:
    assert side_changes(np.array([], bool)) == []
    assert side_changes(np.array([0, 0, 1, 0, 1, 1, 0, 0], bool)) == [(4, True), (6, False)]


def test_rows_with_conf_0_and_other_classes_are_set_aside() -> None:
    text = "1,1,0,0,10,10,0,1,1\n1,2,0,0,10,10,1,1,1\n1,3,0,0,10,10,1,3,1\n1,4,0,0,10,10,1,7,1\n"
    truth = read_mot(text)
    assert truth.ids.tolist() == [2, 3]
    assert truth.class_names == ("person", "car")
    assert "1 boxes of other classes" in truth.warnings[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no box in it"),
        ("1,1,0,0,10,10,0\n", "no box in it"),
        ("frame,id,x,y,w,h\n", "t.txt:1: not numbers"),
        ("1,1,0,0,10,10,1\n1,2,0,0\n", "t.txt:2: 4 numbers"),
        ("1,1,0,0,nan,10,1", "t.txt:1"),
        ("0,1,0,0,10,10,1", "t.txt:1: frame 0"),
        ("1.5,1,0,0,10,10,1", "t.txt:1: frame 1.5"),
        ("1,1,0,0,-10,10,1", "t.txt:1: a box of -10x10"),
        ("1,1,0,0,10,10,1\n2,1,0,0,10,10,1\n1,1,5,5,10,10,1\n", "t.txt:3: id 1 is in frame 1 twice"),
    ],
)
def test_a_row_that_is_none_is_named(text: str, said: str) -> None:
    with pytest.raises(TruthError, match=re.escape(said)):
        read_mot(text, name="t.txt")


def test_truth_of_another_clip_is_refused_and_doubtful_truth_is_said() -> None:
    truth = read_mot(walk([30, 40, 60, 70]))

    def check(size: tuple[int, int], frames: int) -> list[str]:
        return check_boxes(truth, size, [i / 10 for i in range(frames)], name="t.txt")

    with pytest.raises(TruthError, match=r"has frame 4, but the clip has 3"):
        check(SIZE, 3)
    with pytest.raises(TruthError, match=r"2 of 4 boxes lie outside the picture of 50x100: .*--truth-size"):
        check((50, 100), 4)
    assert check(SIZE, 4) == []
    assert "ends with frame 4 of 9" in check(SIZE, 9)[0]
    assert "--truth-size" in check((640, 360), 4)[0]


@pytest.mark.corpus
def test_the_crossings_of_public_truth_are_those_of_its_table(corpus: Path) -> None:
    table = (corpus / "mot" / "CROSSINGS.md").read_text()
    rows = re.findall(r"^\| (\S+) \| (\d+), (\d+) \| (\d+), (\d+) \|$", table, re.MULTILINE)
    level = LineSpec(
        name="h", points=((0, 0.6), (1, 0.6)), left_to_right="greater", right_to_left="lesser", anchor="foot"
    )
    compared = 0
    for name, *expected in rows:
        folder = corpus / "mot" / ("MOT17" if name.startswith("MOT17") else "MOT15") / name
        if not (folder / "gt.txt").is_file():
            continue
        about = configparser.ConfigParser()
        about.read(folder / "seqinfo.ini")
        size = int(about["Sequence"]["imWidth"]), int(about["Sequence"]["imHeight"])
        truth = read_mot((folder / "gt.txt").read_text())
        times = [float(i) for i in range(truth.last_frame)]
        found = box_crossings(truth, [MIDDLE, level], size, times).crossings
        counts = [
            sum((c.line, c.direction) == (line, to) for c in found)
            for line in ("v", "h")
            for to in ("greater", "lesser")
        ]
        assert counts == [int(n) for n in expected], name
        compared += 1
    assert compared >= 8
