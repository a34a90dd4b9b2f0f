"""Choices in and out of the folds, on made-up tables, and variants that are applied and taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.count import line
from pipelines.track import Tracker, TrackerSettings
from tests.bench.counting import cache, choices, folds, ours
from tests.bench.counting.choices import Choice, Variant, numbers
from tests.bench.counting.errors import STEPS, Units
from tests.bench.counting.made import sequence, walk

SEQUENCES = [replace(sequence(walk(), name=f"{i:02d}"), group=f"set {i % 2}") for i in range(8)]
DEFAULT, OTHER = Variant(), Variant((("band", "0.05"),))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FOLDER", tmp_path)


def errors(*gross: int) -> Units:
    """Of each sequence on its upright line."""
    return {f"{s.name} {at}": n * (at == "V") for s, n in zip(SEQUENCES, gross, strict=True) for at in "VH"}


def test_what_is_better_everywhere_is_chosen_in_and_out() -> None:
    row = folds.one_choice({DEFAULT: errors(*[3] * 8), OTHER: errors(*[2] * 8)}, SEQUENCES)
    for rule in folds.RULES:
        assert row[rule]["chosen"] == str(OTHER)
        assert row[rule]["in"] == 16
        assert {out["gap_percent"] for out in row[rule]["out"].values()} == {0.0}


def test_what_one_sequence_alone_speaks_for_is_not_chosen_where_that_is_left_out() -> None:
    tables = {DEFAULT: errors(9, 1, 1, 1, 1, 1, 1, 1), OTHER: errors(0, 1, 1, 1, 1, 1, 1, 2)}
    least = folds.one_choice(tables, SEQUENCES)["least"]
    assert least["in"] == 8
    out = least["out"]["one sequence left out"]
    assert out["gross"] == 9 + 6 + 2  # the default where it is left out
    assert out["gap_percent"] > 100


def test_in_doubt_the_default_is_chosen() -> None:
    tables = {DEFAULT: errors(9, 1, 1, 1, 1, 1, 1, 1), OTHER: errors(0, 1, 1, 1, 1, 1, 1, 2)}
    assert folds.select(tables, SEQUENCES, "least") == OTHER
    assert folds.select(tables, SEQUENCES, "sure") == DEFAULT


def test_of_equals_the_default_is_chosen() -> None:
    assert folds.select({OTHER: errors(*[1] * 8), DEFAULT: errors(*[1] * 8)}, SEQUENCES, "least") == DEFAULT


def test_what_is_made_from_a_sequence_is_left_out_with_it() -> None:
    made = [*SEQUENCES, replace(SEQUENCES[0], name="00 s1")]
    key = folds.FOLDS["one sequence left out"]
    first = folds.folds(made, key)[0]
    assert [s.name for s in first.left_out] == ["00", "00 s1"]
    assert all(s.source != "00" for s in first.others)


def test_a_variant_is_in_place_while_it_is_applied_and_no_longer() -> None:
    before, stitch = line.BAND, Tracker._stitch
    variant = Variant((("band", "0.05"), ("lost_s", "1"), ("stitching", "off")))
    with choices.applied(variant) as settings:
        assert line.BAND == 0.05
        assert settings == replace(TrackerSettings(), lost_s=1.0)
        assert Tracker._stitch is not stitch
    assert before == line.BAND
    assert Tracker._stitch is stitch


def test_the_default_is_no_variant_of_itself() -> None:
    band = numbers("band", "count.line:BAND", line.BAND, 2 * line.BAND)
    assert choices.variants([band])["band"] == [DEFAULT, Variant((("band", f"{2 * line.BAND:g}"),))]


@pytest.mark.parametrize("place", ["no_such_setting", "count.line:NO_SUCH", "no_such.module:X"])
def test_what_the_code_no_longer_has_is_left_out_and_told(place: str) -> None:
    gone = Choice("gone", place, {"1": 1})
    assert choices.variants([gone]) == {}
    assert choices.absent([gone]) == ["gone"]


def test_errors_of_a_variant_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [sequence(walk(), name="walk")]
    first = choices.errors(OTHER, made, STEPS)
    assert first == {"walk": [[[0, 0], [0, 0]]] * len(STEPS)}
    monkeypatch.setattr(ours, "errors", None)  # not called again
    assert choices.errors(OTHER, made, STEPS) == first


def test_all_choices_at_once_are_run_on_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "_sequences", lambda *_: SEQUENCES)
    result = folds.run(only="band,lost_s")
    whole = result[folds.ALL_CHOICES]["least"]
    assert whole["in"] == 0
    assert whole["out"]["one set left out"]["gross"] == 0
    assert "in 0, less default +0 [+0 to +0]" in folds.render(result)
