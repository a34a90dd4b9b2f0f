"""Media time rises whatever the timestamps do, and follows them while they make sense."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.sources.times import STEP_NS, MediaClock

MS = 1_000_000
INTERVAL = 40 * MS


def run(
    pts_ms: list[float | None], *, live: bool = False, arrivals_ms: list[float] | None = None
) -> list[int]:
    clock = MediaClock(INTERVAL, live=live)
    arrivals = arrivals_ms or [40 * i for i in range(len(pts_ms))]
    return [
        clock.next(None if pts is None else round(pts * MS), round(arrived * MS))[0]
        for pts, arrived in zip(pts_ms, arrivals, strict=True)
    ]


FILES = [
    # timestamps, media time; both in ms
    ([0, 40, 80], [0, 40, 80]),
    ([5000, 5040, 5080], [0, 40, 80]),  # starts anywhere
    ([0, 40, 240, 280], [0, 40, 240, 280]),  # a variable frame rate is kept
    ([0, 40, None, 120], [0, 40, 80, 120]),  # one is missing
    ([None, None, None], [0, 40, 80]),  # all are missing
    ([None, 3600, 3640], [0, 40, 80]),  # RTSP: the first is missing
    ([0, 40, 80, 10, 50, 90], [0, 40, 80, 80.001, 80.002, 90]),  # a small step back
    ([9000, 9040, 0, 40], [0, 40, 80, 120]),  # a reset
    ([0, 40, 7_200_040, 7_200_080], [0, 40, 80, 120]),  # two hours ahead in one step
    ([0, 40, 7_200_040, 80, 120], [0, 40, 80, 120, 160]),  # one wild value
    ([7, 7, 7, 7, 7, 7], [0, 0.001, 0.002, 40.002, 80.002, 120.002]),  # standing: no longer believed
]


@pytest.mark.parametrize(("pts", "media"), FILES)
def test_a_files_media_time(pts: list[float | None], media: list[float]) -> None:
    assert [m / MS for m in run(pts)] == pytest.approx(media)


def test_a_cameras_reset_goes_on_by_the_time_that_passed() -> None:
    media = run([9000, 9040, 0, 40], live=True, arrivals_ms=[0, 40, 3_040, 3_080])
    assert [m / MS for m in media] == [0, 40, 3_040, 3_080]


def test_late_packets_do_not_stretch_media_time() -> None:
    media = run([0, 40, 80, 120], live=True, arrivals_ms=[0, 40, 3_000, 3_001])
    assert [m / MS for m in media] == [0, 40, 80, 120]


def test_an_outage_longer_than_a_minute_is_a_pause_where_as_much_time_passed() -> None:
    media = run([0, 40, 300_040], live=True, arrivals_ms=[0, 40, 300_040])
    assert media[-1] == 300_040 * MS


def test_a_cameras_timestamps_do_not_run_ahead_of_time() -> None:
    media = run([0, 40, 30_040, 30_080], live=True, arrivals_ms=[0, 40, 80, 120])
    assert [m / MS for m in media] == [0, 40, 80, 120]


@given(
    st.lists(st.none() | st.integers(-(10**13), 10**13), min_size=1, max_size=60),
    st.booleans(),
    st.integers(0, 100_000_000),
)
def test_it_rises_strictly_whatever_comes(pts: list[int | None], live: bool, interval_ns: int) -> None:
    clock = MediaClock(interval_ns, live=live)
    media = [clock.next(p, i * 1_000)[0] for i, p in enumerate(pts)]
    assert media[0] == 0
    assert all(later - earlier >= STEP_NS for earlier, later in itertools.pairwise(media))
