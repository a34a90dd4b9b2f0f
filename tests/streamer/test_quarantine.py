"""A capture process that keeps dying is split; one that died once, or long ago, is not."""

from __future__ import annotations

from streamer.daemon.process_manager import MAX_TERM_S, TERM_S, WINDOW_S, Quarantine


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


class Clock:
    """Seconds that pass when the test says so, and the rounds of the supervisor in them."""

    def __init__(self, quarantine: Quarantine) -> None:
        self.now_s = 0.0
        self._quarantine = quarantine
        quarantine.release((), self.now_s)

    def die(self, *cameras: str) -> None:
        """Their process dies as often as it takes to separate them, or once where it has one camera."""
        for _ in range(2 if len(cameras) > 1 else 1):
            self._quarantine.died("capture-0", cameras, self.now_s)

    def passes(self, seconds: float, *captured: str) -> set[str]:
        self.now_s += seconds
        return set(self._quarantine.release(captured, self.now_s))


def test_a_camera_that_has_lived_alone_for_its_term_goes_back() -> None:
    quarantine = Quarantine()
    clock = Clock(quarantine)
    clock.die("a", "b")
    assert clock.passes(TERM_S - 1, "a", "b") == set()
    assert quarantine.left_s("a") == 1.0
    assert clock.passes(1, "a", "b") == {"a", "b"}
    assert (quarantine.cameras, quarantine.left_s("a")) == (frozenset(), None)
    assert clock.passes(1, "a", "b") == set()  # once


def test_a_death_alone_begins_a_longer_term_for_that_camera_only() -> None:
    quarantine = Quarantine()
    clock = Clock(quarantine)
    clock.die("a", "b")
    clock.passes(TERM_S - 1, "a", "b")
    clock.die("a")
    assert clock.passes(TERM_S, "a", "b") == {"b"}
    assert clock.passes(TERM_S, "a", "b") == {"a"}


def test_cameras_that_are_separated_again_stay_twice_as_long_but_never_for_good() -> None:
    quarantine = Quarantine()
    clock = Clock(quarantine)
    for turn in range(8):
        clock.die("a", "b")
        term_s = min(TERM_S * 2**turn, MAX_TERM_S)
        assert clock.passes(term_s - 1, "a", "b") == set()
        assert clock.passes(1, "a", "b") == {"a", "b"}


def test_who_has_lived_as_long_among_others_begins_anew() -> None:
    quarantine = Quarantine()
    clock = Clock(quarantine)
    clock.die("a", "b")
    clock.passes(TERM_S, "a", "b")
    clock.passes(TERM_S, "a", "b")
    clock.die("a", "b")
    assert clock.passes(TERM_S, "a", "b") == {"a", "b"}


def test_a_camera_that_is_not_captured_does_not_live_its_term() -> None:
    quarantine = Quarantine()
    clock = Clock(quarantine)
    clock.die("a", "b")
    assert clock.passes(TERM_S, "b") == {"b"}
    assert quarantine.left_s("a") == TERM_S


def test_a_camera_that_is_removed_is_forgotten() -> None:
    quarantine = Quarantine()
    Clock(quarantine).die("a", "b")
    quarantine.forget("a")
    assert quarantine.cameras == {"b"}
