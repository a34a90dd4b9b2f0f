"""One event for one action: hysteresis, a least duration, and silence about what is usual."""

from __future__ import annotations

import pytest

from pipelines.actions.card import HeadCard
from pipelines.actions.hysteresis import HysteresisTrigger

HEAD = HeadCard(name="action", labels=("stand", "fall"), thresholds=(0.5, 0.6), silent=("stand",))


def told(
    probabilities: list[float], head: HeadCard = HEAD, least_s: float = 0.5, pause_s: float = 0.0
) -> list[tuple[str, float]]:
    trigger = HysteresisTrigger(head, least_s, pause_s)
    found = []
    for i, p in enumerate(probabilities):
        found += [(a.label, a.start_s) for a in trigger.update(i / 8, [1 - p, p], [(i / 8, 1.0)])]
    return found


@pytest.mark.parametrize(
    ("probabilities", "events"),
    [
        ([0.1] * 8 + [0.95] * 40, 1),  # one that lasts
        ([0.1] * 8 + [0.95] * 8 + [0.5] * 4 + [0.95] * 8, 1),  # doubtful for a moment: still the same
        ([0.1] * 8 + [0.95] * 10 + [0.02] * 16 + [0.95] * 10, 2),  # over, and again
        ([0.1] * 8 + [0.95] * 2 + [0.02] * 30, 0),  # a flash is none
        ([0.55] * 60, 0),  # never sure
        ([0.1, 0.9] * 30, 0),  # wavering
    ],
)
def test_events_are_told_once(probabilities: list[float], events: int) -> None:
    assert len(told(probabilities)) == events


FLICKER = [0.1] * 8 + ([0.95] * 10 + [0.02] * 16) * 4  # 8 a second: each time over, and again after 2 s


@pytest.mark.parametrize(("pause_s", "events"), [(0.0, 4), (1.0, 4), (5.0, 1), (60.0, 1)])
def test_what_flickers_is_told_again_only_after_the_pause(pause_s: float, events: int) -> None:
    assert len(told(FLICKER, pause_s=pause_s)) == events


def test_the_pause_counts_from_the_end_of_what_was_told_and_each_label_has_its_own() -> None:
    again = [0.1] * 8 + [0.95] * 10 + [0.02] * 48 + [0.95] * 10  # 6 s later
    assert [len(told(again, pause_s=pause_s)) for pause_s in (4.0, 8.0)] == [2, 1]
    head = HeadCard(name="action", labels=("fall", "run"), thresholds=(0.5, 0.5))
    trigger = HysteresisTrigger(head, 0.5, 60.0)
    one_then_other = [[0.95, 0.05]] * 10 + [[0.05, 0.95]] * 20
    found = [a.label for i, row in enumerate(one_then_other) for a in trigger.update(i / 8, row, [])]
    assert found == ["fall", "run"]


def test_the_pause_goes_on_after_a_restart() -> None:
    first = HysteresisTrigger(HEAD, 0.5, 60.0)
    flicker = FLICKER[: 8 + 26]
    assert len([a for i, p in enumerate(flicker) for a in first.update(i / 8, [1 - p, p], [])]) == 1
    after = HysteresisTrigger(HEAD, 0.5, 60.0)
    after.restore(first.save())
    later = range(len(flicker), len(FLICKER))
    assert [a for i in later for a in after.update(i / 8, [1 - FLICKER[i], FLICKER[i]], [])] == []


def test_what_is_usual_is_silent() -> None:
    assert told([0.01] * 50) == []


def test_an_event_begins_when_it_was_first_believed_not_when_it_was_told() -> None:
    ((_, start_s),) = told([0.0] * 8 + [1.0] * 16)
    assert 1.0 <= start_s <= 1.3


def test_several_labels_may_hold_at_once_where_the_head_says_so() -> None:
    head = HeadCard(name="mood", labels=("calm", "loud"), kind="sigmoid", thresholds=(0.5, 0.5))
    trigger = HysteresisTrigger(head, 0.2)
    found = {a.label for i in range(10) for a in trigger.update(i / 8, [0.9, 0.9], [])}
    assert found == {"calm", "loud"}


def test_an_action_that_was_told_is_not_told_again_after_a_restart() -> None:
    trigger = HysteresisTrigger(HEAD, 0.5)
    first = [a for i in range(12) for a in trigger.update(i / 8, [0.0, 1.0], [])]
    after = HysteresisTrigger(HEAD, 0.5)
    after.restore(trigger.save())
    assert len(first) == 1
    assert [a for i in range(12, 40) for a in after.update(i / 8, [0.0, 1.0], [])] == []


def test_a_checkpoint_of_another_head_is_refused() -> None:
    other = HysteresisTrigger(HeadCard(name="action", labels=("a", "b", "c")), 0.5)
    other.update(0.0, [0.1, 0.2, 0.7], [])
    with pytest.raises(ValueError, match="labels"):
        HysteresisTrigger(HEAD, 0.5).restore(other.save())
