"""TrueCrossings that a person wrote with a stopwatch: read as meant, or refused with its row."""

from __future__ import annotations

import pytest

from pipelines.evaluate.crossings import Crossing
from pipelines.evaluate.truth import TrueCrossings, TruthError, keep_classes, parse_time, read_crossings

DOOR = {"door": ("in", "out"), "road": ("north", "left-to-right")}
GROUPS = {"person": "person", "car": "vehicle", "truck": "vehicle"}


def read(text: str, end_s: float = 7200.0) -> TrueCrossings:
    return read_crossings(text, DOOR, name="t.csv", end_s=end_s)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("75", 75.0),
        ("75.25", 75.25),
        ("1:15", 75.0),
        ("01:15.5", 75.5),
        ("90:00", 5400.0),
        ("1:30:00", 5400.0),
        ("0:01:15.2", 75.2),
        (" 7. ", 7.0),
    ],
)
def test_times_as_a_stopwatch_shows_them(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-1", "1:60", "1:60:00", "nan", "1e3", "1:2:3:4", "noon", "1,5", "1:-5"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_time(text)


def test_rows_are_read_in_order_of_time_with_and_without_a_class() -> None:
    truth = read("1:15,door,out,Person\n# a note\n\n12.5,door,in\n")
    assert truth.crossings == (Crossing("door", "in", 12.5), Crossing("door", "out", 75.0, "person"))
    assert truth.warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "time,line,direction,class\n3,door,in,car\n",
        "Line,Time,Class,Direction\ndoor,3,car,in\n",
        "\ufefftime;line;direction;class\r\n3,0;door;in;car\r\n",
        "time\tline\tdirection\tclass\n3\tdoor\tin\tcar\n",
        '"3","DOOR","In","car"\n',
        "3,door,left-to-right,car",
        "3,door,left_to_right,car",
    ],
)
def test_headers_separators_and_spellings(text: str) -> None:
    assert read(text).crossings == (Crossing("door", "in", 3.0, "car"),)


def test_a_direction_that_is_called_like_the_other_side_means_what_the_line_says() -> None:
    assert read("1,road,left-to-right").crossings[0].direction == "left-to-right"
    with pytest.raises(TruthError, match="no direction 'south'"):
        read("1,road,south")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no crossing in it"),
        ("time,line,direction\n", "no crossing in it"),
        ("3,door,in\nx,door,in", r"t\.csv:2: time 'x'"),
        ("3,door", r"t\.csv:1: 2 cells"),
        ("3,door,in,car,extra", r"t\.csv:1: 5 cells"),
        ("# first\n\n3,gate,in", r"t\.csv:3: there is no line 'gate' \(known: door, road\)"),
        ("3,door,up", r"t\.csv:1: line door has no direction 'up' \(its two: in and out\)"),
        ("100:00,door,in", r"t\.csv:1: 100:00 \(6000 s\) lies beyond the clip's end at 60\.0 s"),
        ("time,line,class\n1,door,car", r"t\.csv:1: the header has no column 'direction'"),
    ],
)
def test_a_row_that_does_not_fit_is_named(text: str, said: str) -> None:
    with pytest.raises(TruthError, match=said):
        read(text, end_s=60.0)


def test_a_row_that_is_there_twice_is_said() -> None:
    truth = read("3,door,in\n3,door,in\n")
    assert len(truth.crossings) == 2
    assert "2 rows say the same crossing" in truth.warnings[0]


def test_classes_that_are_not_asked_for_are_left_out_and_said() -> None:
    truth = read("1,door,in,person\n2,door,in,car\n3,door,in\n4,door,in,vehicle\n5,door,in,horse\n")
    kept = keep_classes(truth, ["vehicle"], GROUPS, name="t.csv")
    assert [c.time_s for c in kept.crossings] == [2.0, 3.0, 4.0]
    assert any("class 'person' left out" in w for w in kept.warnings)
    assert any("'horse' (1 crossings) is none of the model's" in w for w in kept.warnings)
    assert [c.time_s for c in keep_classes(truth, ["car"], GROUPS).crossings] == [2.0, 3.0, 4.0]
    assert len(keep_classes(truth, [], GROUPS).crossings) == 5
