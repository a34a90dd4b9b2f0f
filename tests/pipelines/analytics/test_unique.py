"""Unique tracks per period: each once, and only those that were seen for long enough."""

from __future__ import annotations

import pytest

from tests.pipelines.count.walks import Walk, of, play, rules, still, straight

CASES: list[tuple[str, dict[int, Walk], list[int]]] = [
    ("one all the time counts in both periods", {1: still(0.2)}, [1, 1]),
    ("one in the first period only", {1: still(0.2, end_s=4)}, [1, 0]),
    (
        "three, one after the other",
        {k: still(0.2, begin_s=3 * k, end_s=3 * k + 2) for k in (1, 2, 3)},
        [3, 0],
    ),
    ("a ghost of half a second counts nothing", {1: still(0.2, begin_s=2, end_s=2.6)}, [0, 0]),
    ("nobody", {}, [0, 0]),
]


@pytest.mark.parametrize(("comment", "walks", "expected"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.parametrize("save_every", [0, 13])
def test_tracks_in_two_periods_of_15_s(
    comment: str,  # noqa: ARG001
    walks: dict[int, Walk],
    expected: list[int],
    save_every: int,
) -> None:
    made = rules(uniques=[{"name": "visitors", "every_s": 15}])
    told = of(play(made, walks, 30, save_every=save_every), "unique.counted")
    assert [d["count"] for d in told] == expected


def test_of_a_zone_and_by_class() -> None:
    made = rules(uniques=[{"name": "visitors", "zone": "right"}])
    walks = {1: still(0.2), 2: still(0.8), 3: straight(0.1, 0.9, 8)}
    [told] = of(play(made, walks, 20, classes={3: 1}), "unique.counted")
    assert (told["by_class"], told["by_group"]) == ({"person": 1, "car": 1}, {"person": 1, "vehicle": 1})
    assert told["zone"] == "right"
