"""Tables of errors, their differences and what is kept of them, on made-up walks and numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.evaluate.crossings import Crossing
from tests.bench.counting import cache, data, errors, gross_error, ours
from tests.bench.counting.made import sequence, walk


def test_a_walk_over_the_line_is_counted_without_an_error() -> None:
    assert ours.errors(sequence(walk())) == [[0, 0], [0, 0]]


def test_misses_and_false_counts_are_told_by_line() -> None:
    true = [Crossing("V", "greater", 1.0), Crossing("H", "lesser", 2.0)]
    counted = [Crossing("V", "greater", 1.5), Crossing("H", "greater", 2.0)]
    assert errors.of_lines(true, counted) == [[0, 0], [1, 1]]


def test_units_are_lines_of_sequences_over_all_rates() -> None:
    assert errors.units({"a": [[[1, 2], [0, 0]], [[1, 0], [0, 1]]]}) == {"a V": 4, "a H": 1}


def test_a_difference_that_every_unit_shows_is_sure() -> None:
    first = {f"{i} V": 3 for i in range(20)}
    less = errors.difference(first, dict.fromkeys(first, 2))
    assert (less.value, less.low, less.high) == (20, 20, 20)
    assert less.sure


def test_a_difference_that_one_unit_makes_is_not() -> None:
    first = {f"{i} V": int(i == 0) for i in range(20)}
    less = errors.difference(first, dict.fromkeys(first, 0))
    assert less.value == 1
    assert not less.sure


def test_more_detectors_on_one_truth_make_no_difference_surer() -> None:
    by_source = {"a V": 4, "b V": -1, "c V": 3}
    spread = {f"{name} s{seed} V": by_source[f"{name} V"] for name in "abc" for seed in range(10)}
    one = errors.difference(by_source, dict.fromkeys(by_source, 0))
    ten = errors.difference(spread, dict.fromkeys(spread, 0))
    assert (ten.value, ten.low, ten.high) == (10 * one.value, 10 * one.low, 10 * one.high)


def test_tables_of_other_sequences_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same sequences"):
        errors.difference({"a V": 1}, {"b V": 1})


def test_fixed_and_moving_first_and_added_are_apart() -> None:
    one, two = sequence(walk(), name="one"), replace(sequence(walk(), name="two"), moving=True, added=True)
    found = {kind: [s.name for s in part] for kind, part in errors.kinds([one, two]).items()}
    assert found == {
        "all": ["one", "two"],
        "fixed": ["one"],
        "moving": ["two"],
        "first": ["one"],
        "added": ["two"],
    }


def test_every_sequence_of_the_corpus_is_in_one_part_of_one_set() -> None:
    whole = [name for group in data.GROUPS for name in data.NAMES[group]]
    parts = [name for part in data.PARTS for name in data.NAMES[part]]
    assert len(whole) == len(set(whole)) == 29
    assert sorted(whole) == sorted(parts)
    assert set(whole) >= data.MOVING


def test_what_is_kept_is_computed_once_and_survives(tmp_path: Path) -> None:
    calls = []

    def compute() -> list[int]:
        calls.append(1)
        return [1, 2]

    for _ in range(2):
        assert cache.Cache("x", tmp_path).get("key", compute) == [1, 2]
    assert len(calls) == 1


def test_another_box_is_another_key() -> None:
    one = sequence(walk())
    other = replace(one, detections=one.detections + 1e-6)
    assert cache.of_sequence(one, 1) == cache.of_sequence(sequence(walk()), 1)
    assert len({cache.of_sequence(one, 1), cache.of_sequence(one, 2), cache.of_sequence(other, 1)}) == 3


def test_other_code_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "REPO", tmp_path)
    file = tmp_path / "folder" / "a.py"
    file.parent.mkdir()
    file.write_text("1")
    first = cache.of_code("folder")
    file.write_text("2")
    assert cache.of_code("folder") != first


def test_the_figures_of_made_sets_add_up() -> None:
    pytest.importorskip("trackeval")
    fixed = sequence(walk(), walk(start=800, speed=-10, foot=450, identity=2), name="fixed")
    moving = replace(sequence(walk(), name="moving"), moving=True)
    result = {
        "sets": gross_error.figures({"one": [fixed], "two": [moving]}, False, (1, 2)),
        "simulated": {},
        "speed": {},
    }
    whole = result["sets"][gross_error.ALL]["kinds"]
    assert whole["all"]["true"] == whole["fixed"]["true"] + whole["moving"]["true"] == 3
    assert whole["all"]["rates"]["sum"]["ours"] == 0
    assert "all sets: 3 true" in gross_error.render(result)
