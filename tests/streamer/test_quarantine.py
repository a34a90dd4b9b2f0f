"""A capture process that keeps dying is split; one that died once, or long ago, is not."""

from __future__ import annotations

from streamer.daemon.quarantine import WINDOW_S, Quarantine


def test_the_second_death_separates_the_cameras() -> None:
    quarantine = Quarantine()
    assert not quarantine.died("capture-0", ("a", "b"), 10.0)
    assert quarantine.died("capture-0", ("a", "b"), 20.0)
    assert quarantine.cameras == {"a", "b"}


def test_deaths_far_apart_are_no_pattern() -> None:
    quarantine = Quarantine()
    quarantine.died("capture-0", ("a", "b"), 10.0)
    assert not quarantine.died("capture-0", ("a", "b"), 11.0 + WINDOW_S)


def test_a_camera_that_is_alone_already_stays_as_it_is() -> None:
    quarantine = Quarantine()
    for second in range(5):
        assert not quarantine.died("capture-3", ("a",), float(second))


def test_workers_are_judged_each_for_itself() -> None:
    quarantine = Quarantine()
    quarantine.died("capture-0", ("a", "b"), 1.0)
    assert not quarantine.died("capture-1", ("c", "d"), 2.0)
