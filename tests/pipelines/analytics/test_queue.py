"""Queue length and waiting time: who stands or shuffles in the zone, and for how long."""

from __future__ import annotations

import pytest

from tests.pipelines.count.walks import Walk, of, play, rules, still, straight, through

RULES = rules(queues=[{"name": "till", "zone": "left"}])
SHORT_STOP = through((0, 0, 0.5), (1, 0.2, 0.5), (2, 0.2, 0.5), (3, 0.5, 0.5))

CASES: list[tuple[str, dict[int, Walk], list[int]]] = [
    ("one who stands: in the queue after a while, gone at last", {1: still(0.2, end_s=10)}, [1, 0]),
    ("one who walks through in 4 s never waits", {1: straight(0.0, 0.5, 4)}, []),
    ("one who shuffles at 0.2 heights a second waits", {1: straight(0.1, 0.3, 10)}, [1, 0]),
    ("one who stands outside the zone does not", {1: still(0.5, end_s=10)}, []),
    ("a stop of 1 s is too short to be waiting", {1: SHORT_STOP}, []),
    ("two together are one change", {1: still(0.1, end_s=10), 2: still(0.3, end_s=10)}, [2, 0]),
]


@pytest.mark.parametrize(("comment", "walks", "expected"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.parametrize("save_every", [0, 7])
def test_the_length_over_time(
    comment: str,  # noqa: ARG001
    walks: dict[int, Walk],
    expected: list[int],
    save_every: int,
) -> None:
    found = of(play(RULES, walks, 20, save_every=save_every), "queue.changed")
    assert [d["count"] for d in found] == expected


@pytest.mark.parametrize("fps", [5.0, 10.0, 25.0])
def test_waiting_time_is_that_of_the_clip_at_any_frame_rate(fps: float) -> None:
    served = through((0, 0.2, 0.5), (12, 0.2, 0.5), (13, 0.6, 0.5), (16, 0.9, 0.5))
    found = of(play(RULES, {1: served}, 22, fps=fps), "queue.changed")
    assert [(d["count"], d["left"]) for d in found] == [(1, 0), (0, 1)]
    assert found[1]["waited_s"]["max"] == pytest.approx(12.5, abs=1.0)


def test_who_is_lost_in_the_queue_waited_until_then_and_not_until_it_was_given_up() -> None:
    found = of(play(RULES, {1: still(0.2, end_s=10)}, 30), "queue.changed")
    assert found[-1]["waited_s"]["mean"] == pytest.approx(9.8, abs=0.3)


def test_each_class_is_counted_apart() -> None:
    events = play(RULES, {1: still(0.1), 2: still(0.2), 3: still(0.3)}, 8, classes={2: 1, 3: 2}, close=False)
    [told] = of(events, "queue.changed")
    assert told["by_class"] == {"person": 1, "car": 1, "truck": 1}
    assert told["by_group"] == {"person": 1, "vehicle": 2}


def test_who_steps_aside_makes_one_wait_end_and_another_begin() -> None:
    """Who steps out of the zone for a moment has left, and waits anew: three events, no more."""
    aside = ((8.2, 0.43, 0.5), (8.8, 0.43, 0.5))
    steps = through((0, 0.38, 0.5), (8, 0.38, 0.5), *aside, (9, 0.38, 0.5), (20, 0.38, 0.5))
    found = of(play(RULES, {1: steps}, 20, close=False), "queue.changed")
    assert [(d["count"], d["left"]) for d in found] == [(1, 0), (0, 1), (1, 0)]


def test_a_queue_in_a_zone_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="queue 'till': there is no zone 'lefft'; known: left, right"):
        rules(queues=[{"name": "till", "zone": "lefft"}])
