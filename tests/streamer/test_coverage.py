"""Time buckets: every second of a bucket is accounted for, and blind time is never called seen."""

from __future__ import annotations

import time

import pytest

from pipelines.events import LINE_CROSSED
from pipelines.values import Event, Stamp
from streamer.ipc.counters import Balance
from streamer.workers.infer.clock_watch import ClockWatch
from streamer.workers.infer.coverage import Coverage

S = 1_000_000_000
T0 = 1_700_000_040 * S  # a full minute
EMPTY = Balance(0, 0, 0, {}, 0)


def crossing(at_ns: int, crossed_ns: int | None = None) -> Event:
    data = {
        "direction": "in",
        "class": "person",
        "crossed_captured_ns": at_ns if crossed_ns is None else crossed_ns,
    }
    return Event(LINE_CROSSED, Stamp("cam", 1, 1, 0, at_ns, 0), "door", data)


def look(coverage: Coverage, start_s: float, end_s: float, every_s: float = 0.1, busy: int = 0) -> None:
    steps = round((end_s - start_s) / every_s)
    for step in range(steps + 1):
        coverage.frame_inferred(T0 + int((start_s + step * every_s) * S), 20.0, busy)


def spent(data: dict[str, dict[str, float]]) -> dict[str, float]:
    return {kind: s for kind, s in data["coverage"].items() if s}


def closed(coverage: Coverage, now_s: float, balance: Balance = EMPTY, stopping: bool = False) -> list[dict]:  # type: ignore[type-arg]
    return [data for _, data in coverage.close_due(T0 + int(now_s * S), balance, stopping)]


def test_a_minute_watched_from_end_to_end_is_seen() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 62)
    (bucket,) = closed(coverage, 63)
    assert bucket["coverage"]["seen_s"] == pytest.approx(60, abs=0.2)
    assert sum(bucket["coverage"].values()) == pytest.approx(60)


def test_time_before_the_start_of_the_daemon_is_unknown() -> None:
    coverage = Coverage(60, T0 + 20 * S, EMPTY)
    look(coverage, 20, 62)
    (bucket,) = closed(coverage, 63)
    assert bucket["coverage"]["unknown_s"] == pytest.approx(20, abs=0.2)


def test_an_offline_camera_is_offline_and_not_empty() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 10)
    coverage.source_lost(T0 + 10 * S)
    look(coverage, 40, 62)
    (bucket,) = closed(coverage, 63)
    assert bucket["coverage"]["offline_s"] == pytest.approx(30, abs=0.2)
    assert bucket["coverage"]["seen_s"] == pytest.approx(30, abs=0.2)


def test_a_camera_that_never_came_is_offline_for_the_whole_bucket() -> None:
    coverage = Coverage(60, T0, EMPTY)
    (bucket,) = closed(coverage, 63)
    assert spent(bucket) == {"offline_s": 60}


def test_a_gap_in_which_frames_were_dropped_is_dropped_and_one_without_is_unknown() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 10)
    look(coverage, 15, 30, busy=50)
    look(coverage, 37, 62, busy=50)
    (bucket,) = closed(coverage, 63, Balance(0, 0, 0, {"busy": 50}, 0))
    assert bucket["coverage"]["dropped_s"] == pytest.approx(5, abs=0.2)
    assert bucket["coverage"]["unknown_s"] == pytest.approx(7, abs=0.2)


def test_a_crossing_decided_late_belongs_to_the_bucket_in_which_it_happened() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 62)
    coverage.add_event(crossing(T0 + int(60.5 * S), T0 + int(59.9 * S)))
    (bucket,) = closed(coverage, 63)
    assert bucket["lines"] == {"door": {"in": {"person": 1}}}


def test_a_crossing_that_comes_after_its_bucket_closed_is_put_into_the_open_one() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 63)
    assert closed(coverage, 63)[0]["lines"] == {}
    coverage.add_event(crossing(T0 + 64 * S, T0 + 59 * S))
    look(coverage, 63, 123)
    assert closed(coverage, 123)[0]["lines"] == {"door": {"in": {"person": 1}}}


def test_frames_are_told_bucket_by_bucket() -> None:
    coverage = Coverage(60, T0, Balance(100, 80, 0, {"busy": 20}, 0))
    (first,) = closed(coverage, 63, Balance(200, 170, 0, {"busy": 30}, 0))
    assert first["frames"] == {"decoded": 100, "inferred": 90, "gated": 0, "dropped": {"busy": 10}}
    (second,) = closed(coverage, 123, Balance(200, 170, 0, {"busy": 30}, 0))
    assert second["frames"] == {"decoded": 0, "inferred": 0, "gated": 0, "dropped": {}}


def test_a_stop_closes_the_open_bucket_at_the_stop() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 30)
    (bucket,) = closed(coverage, 30, stopping=True)
    assert bucket["end_ns"] == T0 + 30 * S
    assert sum(bucket["coverage"].values()) == pytest.approx(30)


def test_a_successor_begins_where_the_bucket_was_closed_early() -> None:
    coverage = Coverage(60, T0 + 35 * S, EMPTY)
    coverage.begin_after(T0 + 30 * S)
    look(coverage, 35, 62)
    (bucket,) = closed(coverage, 63)
    assert bucket["start_ns"] == T0 + 30 * S
    assert sum(bucket["coverage"].values()) == pytest.approx(30)


def test_a_checkpoint_carries_the_times_over() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 30)
    coverage.add_flag("restarted", T0 + 30 * S)
    heir = Coverage(60, T0 + 31 * S, EMPTY)
    heir.restore(coverage.save(), T0 + 31 * S)
    look(heir, 31, 62)
    (bucket,) = closed(heir, 63)
    assert bucket["coverage"]["seen_s"] == pytest.approx(59, abs=0.3)
    assert bucket["flags"] == ["restarted"]


def test_a_successor_of_one_that_closed_its_bucket_early_has_the_rest_of_it() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 30)
    closed(coverage, 30, stopping=True)
    heir = Coverage(60, T0 + 35 * S, EMPTY)
    heir.restore(coverage.save(), T0 + 35 * S)
    heir.begin_after(T0 + 30 * S)
    look(heir, 35, 62)
    (bucket,) = closed(heir, 63)
    assert (bucket["start_ns"], bucket["end_ns"]) == (T0 + 30 * S, T0 + 60 * S)
    assert sum(bucket["coverage"].values()) == pytest.approx(30)


@pytest.mark.parametrize("away_s", [3, 8, 12, 18])
def test_a_successor_that_comes_late_tells_every_bucket_and_that_it_was_restarted(away_s: int) -> None:
    """With buckets of 5 s and more than two of them away, the mark was lost and a jump of the clock told."""
    dead = Coverage(5, T0, EMPTY)
    look(dead, 0, 6)
    dead.add_event(crossing(T0 + 6 * S))
    now_ns = T0 + (6 + away_s) * S
    successor = Coverage(5, now_ns, EMPTY)
    successor.restore(dead.save(), now_ns)
    successor.add_flag("restarted", now_ns)
    successor.begin_after(0)
    successor.restore_event(LINE_CROSSED, "door", crossing(T0 + 6 * S).data, T0 + 6 * S)
    told = successor.close_due(now_ns, EMPTY) + successor.close_due(now_ns + 7 * S, EMPTY)
    assert [end_ns for end_ns, _ in told] == [T0 + n * 5 * S for n in range(1, len(told) + 1)]
    assert [end_ns - now_ns <= 5 * S for end_ns, data in told if data["flags"] == ["restarted"]] == [True]
    assert sum(bool(data["lines"]) for _, data in told) == 1
    assert not any("clock_jumped" in data["flags"] for _, data in told)


def test_what_open_buckets_counted_and_their_marks_are_told_when_the_clock_is_set_ahead() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 61)
    for at_s in (30, 61):  # the first bucket waits for those that come late
        coverage.add_event(crossing(T0 + at_s * S))
    ahead_ns = T0 + 3661 * S
    coverage.add_flag("events_lost", ahead_ns)
    told = [data for _, data in coverage.close_due(ahead_ns, EMPTY)]
    assert [bool(data["lines"]) for data in told] == [True, True]
    (after,) = (data for _, data in coverage.close_due(ahead_ns + 63 * S, EMPTY))
    assert set(after["flags"]) == {"clock_jumped", "events_lost"}


def test_a_damaged_checkpoint_changes_nothing() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 30)
    saved = coverage.save()
    saved["spent"] = [*saved["spent"], [T0 + 60 * S, {"seen": "x"}, [], {}]]
    heir = Coverage(60, T0 + 31 * S, EMPTY)
    with pytest.raises(ValueError, match="invalid literal"):
        heir.restore(saved, T0 + 31 * S)
    (bucket,) = closed(heir, 63)
    assert bucket["coverage"]["unknown_s"] >= 31
    assert sum(bucket["coverage"].values()) == pytest.approx(60)


@pytest.mark.parametrize("jump_s", [-3600, 3600, -1_700_000_000])
def test_a_clock_that_jumps_is_marked_and_makes_no_flood(jump_s: int) -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 30)
    now_ns = max(0, T0 + (30 + jump_s) * S)
    closed_now = list(coverage.close_due(now_ns, EMPTY))
    assert len(closed_now) <= 2
    later = [data for _, data in coverage.close_due(now_ns + 63 * S, EMPTY)]
    assert any("clock_jumped" in data["flags"] for data in later)


def test_the_ages_of_a_bucket_are_those_of_all_its_frames_in_whatever_order_they_come() -> None:
    """The first 4,096 alone were looked at: 20 ms where 94 of 100 were 900 ms old."""
    ages = [20.0] * 600 + [900.0] * 9400
    for ordered in (ages, ages[::-1]):
        coverage = Coverage(60, T0, EMPTY)
        for number, age_ms in enumerate(ordered):
            coverage.frame_inferred(T0 + number * 6_000_000, age_ms, 0)
        (bucket,) = closed(coverage, 63)
        assert bucket["age_ms"]["p50"] == pytest.approx(900, rel=0.01)
        assert bucket["age_ms"]["p99"] == pytest.approx(900, rel=0.01)
        assert bucket["age_ms"]["max"] == 900


def test_a_frame_of_the_next_bucket_is_old_there_and_not_in_the_one_before() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 59.9)
    coverage.frame_inferred(T0 + 61 * S, 5000.0, 0)
    (first,) = closed(coverage, 62.5)
    assert first["age_ms"]["max"] == 20
    (second,) = closed(coverage, 123)
    assert second["age_ms"]["p99"] == pytest.approx(5000, rel=0.01)


def test_the_ages_before_a_restart_stay_in_their_bucket() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 30)
    heir = Coverage(60, T0 + 31 * S, EMPTY)
    heir.restore(coverage.save(), T0 + 31 * S)
    heir.frame_inferred(T0 + 32 * S, 700.0, 0)
    (bucket,) = closed(heir, 63)
    assert bucket["age_ms"]["p50"] == pytest.approx(20, rel=0.01)
    assert bucket["age_ms"]["max"] == 700


def test_a_bucket_without_a_frame_has_no_ages() -> None:
    (bucket,) = closed(Coverage(60, T0, EMPTY), 63)
    assert bucket["age_ms"] == {"p50": None, "p99": None, "max": None}


# ---- what a camera showed


def test_the_time_of_a_camera_that_shows_nothing_is_unknown_and_has_its_reason() -> None:
    coverage = Coverage(60, T0, EMPTY)
    coverage.health_changed("ok", T0)
    look(coverage, 0, 30)
    coverage.health_changed("frozen", T0 + 12 * S)  # noticed now, and so since then
    look(coverage, 30, 62)
    (bucket,) = closed(coverage, 63)
    assert bucket["coverage"]["seen_s"] == pytest.approx(12, abs=0.2)
    assert bucket["coverage"]["unknown_s"] == pytest.approx(48, abs=0.2)
    assert bucket["blind"] == {"frozen": pytest.approx(48, abs=0.2)}
    assert sum(bucket["coverage"].values()) == pytest.approx(60)


def test_what_there_was_no_time_to_look_at_is_of_the_fault_that_the_camera_had() -> None:
    coverage = Coverage(60, T0, EMPTY)
    coverage.health_changed("ok", T0)
    look(coverage, 0, 10)
    coverage.frame_inferred(T0 + 20 * S, 50.0, dropped_busy=9)  # overloaded for ten seconds
    coverage.health_changed("black", T0 + 12 * S)
    coverage.frame_inferred(T0 + 30 * S, 50.0, dropped_busy=19)
    look(coverage, 30, 62)
    (bucket,) = closed(coverage, 63)
    assert bucket["blind"] == {
        "overloaded": pytest.approx(2, abs=0.2),
        "black": pytest.approx(48, abs=0.2),
    }


def test_a_camera_that_sees_again_is_seen_from_when_it_did() -> None:
    coverage = Coverage(60, T0, EMPTY)
    coverage.health_changed("black", T0)
    look(coverage, 0, 30)
    coverage.health_changed("ok", T0 + 20 * S)
    look(coverage, 30, 62)
    (bucket,) = closed(coverage, 63)
    assert bucket["blind"] == {"black": pytest.approx(20, abs=0.2)}
    assert bucket["coverage"]["seen_s"] == pytest.approx(40, abs=0.2)


def test_an_offline_second_stays_offline_when_the_camera_proves_frozen() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 10)
    coverage.source_lost(T0 + 10 * S)
    look(coverage, 20, 30)
    coverage.health_changed("frozen", T0 + 20 * S)
    look(coverage, 30, 62)
    (bucket,) = closed(coverage, 63)
    assert bucket["blind"] == {
        "offline": pytest.approx(10, abs=0.2),
        "frozen": pytest.approx(40, abs=0.2),
    }


def test_what_a_moved_camera_saw_is_seen_and_said_to_be_moved() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 30)
    coverage.health_changed("moved", T0 + 25 * S)
    look(coverage, 30, 62)
    (bucket,) = closed(coverage, 63)
    assert bucket["coverage"]["seen_s"] == pytest.approx(60, abs=0.2)
    assert bucket["moved_s"] == pytest.approx(35, abs=0.2)
    assert (bucket["blind"], bucket["flags"]) == ({}, ["moved"])


def test_a_bucket_says_that_a_camera_was_blind_before_it() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 65)
    closed(coverage, 65)
    coverage.health_changed("frozen", T0 + 50 * S)
    look(coverage, 65, 122)
    (bucket,) = closed(coverage, 123)
    assert bucket["flags"] == ["blind_before"]
    assert bucket["blind"] == {"frozen": pytest.approx(60, abs=0.2)}


def test_a_successor_takes_over_what_was_blind() -> None:
    first = Coverage(60, T0, EMPTY)
    first.health_changed("covered", T0)
    look(first, 0, 30)
    second = Coverage(60, T0 + 30 * S, EMPTY)
    second.restore(first.save(), T0 + 30 * S)
    second.health_changed("covered", T0)
    look(second, 30, 62)
    (bucket,) = closed(second, 63)
    assert bucket["blind"] == {"covered": pytest.approx(60, abs=0.3)}


def test_busy_time_is_called_overloaded_beside_its_older_name() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 10)
    look(coverage, 20, 62, busy=5)
    (bucket,) = closed(coverage, 63)
    assert bucket["blind"] == {"overloaded": bucket["coverage"]["dropped_s"]}
    assert bucket["blind"]["overloaded"] > 9


def test_the_share_of_frames_seen_leaves_out_those_that_nobody_wanted() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 62)
    balance = Balance(1500, 600, 0, {"not_due": 700, "busy": 200}, 0)
    assert closed(coverage, 63, balance)[0]["seen_share"] == 0.75


def test_what_an_open_bucket_had_seen_is_told_before_a_clock_that_was_set_back_goes_on() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 30)
    ((end_ns, data),) = coverage.close_due(T0 - 3600 * S, EMPTY)
    assert T0 < end_ns <= T0 + 30 * S
    assert data["flags"] == ["clock_jumped"]
    assert data["coverage"]["seen_s"] == pytest.approx(end_ns / S - T0 / S, abs=1.1)


def test_a_jump_of_seconds_is_marked_before_and_after_it() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 57)
    coverage.clock_jumped(T0 + 65 * S)
    flags = [data["flags"] for _, data in coverage.close_due(T0 + 125 * S, EMPTY)]
    assert flags == [["clock_jumped"], ["clock_jumped"]]


def test_a_clock_that_is_set_is_noticed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ClockWatch()
    assert not watch.jumped()
    really_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: really_ns() - 3 * S)
    assert [watch.jumped(), watch.jumped()] == [True, False]


def test_a_cut_bucket_and_the_one_after_it_are_the_whole_minute_and_a_checkpoint_knows_where_it_was_cut() -> (
    None
):
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 20)
    ((end_ns, first),) = coverage.cut(T0 + 20 * S, EMPTY)
    coverage.add_event(crossing(T0 + 21 * S, crossed_ns=T0 + 19 * S))  # decided late
    look(coverage, 20.1, 40)
    heir = Coverage(60, T0 + 41 * S, EMPTY)
    heir.restore(coverage.save(), T0 + 41 * S)
    heir.begin_after(end_ns)
    for one in (coverage, heir):
        look(one, 41, 62)
        (second,) = closed(one, 63)
        assert (first["start_ns"], end_ns, second["start_ns"]) == (T0, T0 + 20 * S, T0 + 20 * S)
        assert spent(first) == {"seen_s": pytest.approx(20, abs=0.01)}
        assert sum(second["coverage"].values()) == pytest.approx(40, abs=0.01)
    assert first["lines"] == {}
    assert closed(coverage, 123)[0]["start_ns"] == T0 + 60 * S


def test_health_that_changes_after_a_cut_changes_nothing_that_was_told() -> None:
    coverage = Coverage(60, T0, EMPTY)
    look(coverage, 0, 20)
    coverage.cut(T0 + 20 * S, EMPTY)
    look(coverage, 20.1, 30)
    coverage.health_changed("frozen", T0 + 10 * S)
    look(coverage, 30, 62)
    (second,) = closed(coverage, 63)
    assert second["blind"] == {"frozen": pytest.approx(40, abs=0.01)}
    assert "blind_before" in second["flags"]
